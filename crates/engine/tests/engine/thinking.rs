//! The end of a thinking that has a budget.

use engine::engine::Handle;
use engine::limits::Limits;
use engine::request::{Marker, Request, Thinking, TokenId};

use crate::mock::{Mock, prompt, request};
use crate::oracle::{answer, collect};

/// No prompt and no answer here has these but to end the thinking.
const END: [TokenId; 2] = [91, 92];

fn start() -> Handle {
    let limits = Limits::default();
    Handle::start(Box::new(Mock::new(2048, &limits)), limits).unwrap()
}

fn thinking(open: bool, begin: Option<TokenId>, budget_tokens: Option<usize>) -> Option<Thinking> {
    let begin = begin.map(|token| Marker::Tokens(vec![token]));
    Some(Thinking { open, begin, end: Marker::Tokens(END.to_vec()), close: END.to_vec(), budget_tokens })
}

fn tokens(handle: &Handle, asked: &Request) -> Vec<TokenId> {
    collect(handle.submit(asked.clone()).unwrap()).tokens
}

#[test]
fn a_thinking_ends_when_its_budget_is_used_up() {
    let handle = start();
    for budget in [0, 1, 7, 30] {
        let asked = Request { thinking: thinking(true, None, Some(budget)), ..request(prompt(3, 20), 40) };
        let got = collect(handle.submit(asked.clone()).unwrap());
        assert_eq!(got.tokens[budget..budget + 2], END, "{budget}");
        assert_eq!(got.tokens.len(), 40);
        assert_eq!(got, answer(&asked, handle.limits()), "{budget}");
    }
}

#[test]
fn one_that_ends_by_itself_or_has_no_budget_is_let_be() {
    let handle = start();
    let plain = request(prompt(3, 20), 40);
    let free = tokens(&handle, &plain);
    assert!(!free.windows(2).any(|tokens| tokens == END));
    assert_eq!(tokens(&handle, &Request { thinking: thinking(true, None, None), ..plain.clone() }), free);
    assert_eq!(tokens(&handle, &Request { thinking: thinking(false, None, Some(3)), ..plain.clone() }), free);
    // Its own fifth and sixth tokens end it.
    let end = Marker::Tokens(free[4..6].to_vec());
    let over = Thinking { open: true, begin: None, end, close: END.to_vec(), budget_tokens: Some(6) };
    assert_eq!(tokens(&handle, &Request { thinking: Some(over.clone()), ..plain.clone() }), free);
    let sooner = Thinking { budget_tokens: Some(5), ..over };
    assert_eq!(tokens(&handle, &Request { thinking: Some(sooner), ..plain })[5..7], END);
}

#[test]
fn a_thinking_that_the_answer_begins_has_its_budget_from_there() {
    let handle = start();
    let plain = request(prompt(3, 20), 60);
    let free = tokens(&handle, &plain);
    let begun_by =
        |at: usize| Request { thinking: thinking(false, Some(free[at]), Some(4)), ..plain.clone() };
    let first = free[..3].iter().position(|&token| token == free[2]).expect("it is there");
    assert_eq!(tokens(&handle, &begun_by(2))[first + 5..first + 7], END);
    // Later on it is talk about thinking.
    let late = (16..60).find(|&at| !free[..at].contains(&free[at])).expect("a new token");
    assert_eq!(tokens(&handle, &begun_by(late)), free);
}
