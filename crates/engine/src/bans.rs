//! Texts that an answer must not have: when it comes to have one, it goes back to before the token in which the text
//! began, and another token comes there.
//!
//! What may become such a text is held back, so no client sees it. The engine knows tokens only: what they say is for
//! [`text::phrases::Phrases`] to tell, which a request brings along as it brings the form of its answer. So the text is looked
//! at before a token is sent and before the next one is computed, which a client behind the engine could not do.
//!
//! Invariant: a token is banned behind the tokens that stood before it when the text came up, and nowhere else. When they are
//! taken back, so is the ban; what happens depends on the answer's own tokens alone.

use text::phrases::Sighting;

use crate::request::{Request, TokenId};

/// An answer is given up when it was taken back more often than this, and twice for each of its tokens.
const REWINDS_FREE: usize = 256;

/// Why an answer is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("banned_strings come up wherever the answer goes: it was taken back {0} times; ban fewer")]
pub(crate) struct TooManyRewinds(usize);

/// The tokens that an answer may not have at some places.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    /// Places in the answer, ascending.
    places: Vec<usize>,
    tokens: Vec<TokenId>, // one for each place
    rewinds: usize,
    /// The most tokens that the answer had.
    reached: usize,
}

impl Bans {
    /// What may not come at a place, if the answer has come as far and no farther.
    pub(crate) fn at(&self, place: usize) -> &[TokenId] {
        &self.tokens[self.places.partition_point(|&other| other < place)..]
    }

    /// Bans a token at a place, to which the answer goes back.
    pub(crate) fn add(&mut self, answer: &[TokenId], place: usize) -> Result<(), TooManyRewinds> {
        self.rewind(place);
        self.places.push(place);
        self.tokens.push(answer[place]);
        self.rewinds += 1;
        self.reached = self.reached.max(answer.len());
        let most = REWINDS_FREE + 2 * self.reached;
        if self.rewinds > most { Err(TooManyRewinds(self.rewinds)) } else { Ok(()) }
    }

    /// How often the answer was taken back.
    #[cfg(test)]
    pub(crate) fn rewinds(&self) -> usize {
        self.rewinds
    }

    /// Goes back to so many tokens of the answer.
    pub(crate) fn rewind(&mut self, answer_tokens: usize) {
        let kept = self.places.partition_point(|&place| place <= answer_tokens);
        self.places.truncate(kept);
        self.tokens.truncate(kept);
    }
}

/// What the newest token of an answer has to do with the texts that it must not have: where one has come up, or else how
/// many tokens at the end may become one.
///
/// What would come in the place of those that may be taken back could go on with what stood before them, so that waits as well.
pub(crate) fn look(request: &mut Request, answer: &[TokenId]) -> Sighting {
    let Some(banned) = &mut request.banned else { return Sighting::default() };
    let Sighting { found, mut begun } = banned.look(answer);
    let mut more = begun;
    while found.is_none() && more > 0 {
        more = banned.look(&answer[..answer.len() - begun]).begun;
        begun += more;
    }
    Sighting { found, begun }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_holds_behind_the_tokens_that_it_was_said_behind() {
        let mut bans = Bans::default();
        bans.add(&[5, 6, 7, 8], 2).unwrap();
        bans.add(&[5, 6, 9], 2).unwrap();
        assert_eq!((bans.at(1), bans.at(2)), (&[7, 9][..], &[7, 9][..]));
        bans.add(&[5, 6, 1, 2, 3], 4).unwrap();
        assert_eq!(bans.at(4), [3]);
        // What stood before it is gone.
        bans.add(&[5, 6, 1, 2, 4], 3).unwrap();
        assert_eq!((bans.at(3), bans.at(4)), (&[2][..], &[][..]));
        bans.rewind(2);
        assert_eq!((bans.at(2), bans.at(3)), (&[7, 9][..], &[][..]));
        bans.rewind(1);
        assert!(bans.at(0).is_empty());
    }

    #[test]
    fn an_answer_without_a_way_is_given_up() {
        let mut bans = Bans::default();
        let count = (0..1000).take_while(|&token| bans.add(&[token, 1], 0).is_ok()).count();
        assert_eq!(count, REWINDS_FREE + 4);
    }
}
