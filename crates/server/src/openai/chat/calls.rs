//! The calls of a chat's answer: whole, or piece by piece.

use serde::Serialize;
use utoipa::ToSchema;

use crate::speech::CallPiece;

/// A call that the client is asked to run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCall)]
pub(super) struct Call {
    id: String,
    r#type: &'static str,
    function: CalledFunction,
}

/// What is called.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCalledFunction)]
struct CalledFunction {
    name: String,
    /// JSON.
    arguments: String,
}

/// More of a call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCallDelta)]
pub(super) struct CallDelta {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: FunctionDelta,
}

/// More of what is called.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatFunctionDelta)]
struct FunctionDelta {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    arguments: String,
}

/// The calls of a whole answer; none if it has none, and then the field is not there.
pub(super) fn whole(calls: Vec<CallPiece>) -> Option<Vec<Call>> {
    let calls = calls.into_iter().filter_map(|call| {
        let begun = call.begun?;
        let function = CalledFunction { name: begun.name, arguments: call.arguments };
        Some(Call { id: begun.id, r#type: "function", function })
    });
    Some(calls.collect::<Vec<_>>()).filter(|calls| !calls.is_empty())
}

/// What a piece of a call is told as: its beginning without arguments, and more arguments without a beginning.
pub(super) fn deltas(call: CallPiece) -> impl Iterator<Item = CallDelta> {
    let index = call.index;
    let begun = call.begun.map(|begun| CallDelta {
        index,
        id: Some(begun.id),
        r#type: Some("function"),
        function: FunctionDelta { name: Some(begun.name), arguments: String::new() },
    });
    let more = (!call.arguments.is_empty()).then_some(CallDelta {
        index,
        id: None,
        r#type: None,
        function: FunctionDelta { name: None, arguments: call.arguments },
    });
    begun.into_iter().chain(more)
}
