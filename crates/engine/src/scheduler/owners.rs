//! What each owner of requests has got: virtual token counters (Sheng et al. 2024, "Fairness in Serving Large
//! Language Models").
//!
//! Among requests of equal priority the owner with the least service comes first. Who is new, or comes back, begins with
//! what the least served of the present owners has: it can't claim the time in which it asked for nothing.
//! Invariant: there is an account for every owner with sequences, and the accounts are no more than the sequences
//! that there ever were at once.

/// A computed token of a prompt counts this much.
const PROMPT_TOKEN: u64 = 1;
/// A generated one takes about as long as several, but of a step that others share.
const GENERATED_TOKEN: u64 = 2;

/// Where an owner's account is.
pub(crate) type OwnerSlot = usize;

/// The accounts.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    accounts: Vec<Account>,
}

#[derive(Debug)]
struct Account {
    owner: u64,
    /// Weighted tokens.
    service: u64,
    /// Without any, the account may be given to another owner.
    sequences: usize,
}

impl Owners {
    /// Counts a sequence of `owner` in.
    pub(crate) fn join(&mut self, owner: u64) -> OwnerSlot {
        let present = |account: &Account| account.sequences > 0;
        if let Some(slot) = self.accounts.iter().position(|a| present(a) && a.owner == owner) {
            self.accounts[slot].sequences += 1;
            return slot;
        }
        let service = self.accounts.iter().filter(|a| present(a)).map(|a| a.service).min().unwrap_or(0);
        let account = Account { owner, service, sequences: 1 };
        match self.accounts.iter().position(|a| !present(a)) {
            Some(slot) => {
                self.accounts[slot] = account;
                slot
            }
            None => {
                self.accounts.push(account);
                self.accounts.len() - 1
            }
        }
    }

    /// Counts a sequence out.
    pub(crate) fn leave(&mut self, slot: OwnerSlot) {
        self.accounts[slot].sequences -= 1;
    }

    /// Notes what a step does for an owner.
    pub(crate) fn charge(&mut self, slot: OwnerSlot, prompt_tokens: usize, generated_tokens: usize) {
        self.accounts[slot].service +=
            PROMPT_TOKEN * prompt_tokens as u64 + GENERATED_TOKEN * generated_tokens as u64;
    }

    /// What an owner has got.
    pub(crate) fn service(&self, slot: OwnerSlot) -> u64 {
        self.accounts[slot].service
    }

    /// Panics unless each owner of `sequences` has one account that counts them.
    #[cfg(test)]
    pub(crate) fn check<'a>(&self, sequences: impl Iterator<Item = &'a super::Sequence>) {
        let mut counted = vec![0; self.accounts.len()];
        for sequence in sequences {
            let slot = sequence.owner_slot.expect("the scheduler has it");
            assert_eq!(self.accounts[slot].owner, sequence.request.rank.owner);
            counted[slot] += 1;
        }
        assert!(self.accounts.iter().map(|a| a.sequences).eq(counted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_owner_begins_with_the_least_service_of_the_present_ones() {
        let mut owners = Owners::default();
        let (first, second) = (owners.join(10), owners.join(20));
        owners.charge(first, 100, 0);
        owners.charge(second, 30, 5);
        assert_eq!((owners.service(first), owners.service(second)), (100, 40));
        let third = owners.join(30);
        assert_eq!(owners.service(third), 40);
        // The least served one leaves and comes back.
        owners.leave(second);
        owners.leave(third);
        let back = owners.join(20);
        assert_eq!(owners.service(back), 100);
    }

    #[test]
    fn an_account_stays_as_long_as_its_owner_has_sequences() {
        let mut owners = Owners::default();
        let slot = owners.join(10);
        assert_eq!(owners.join(10), slot);
        owners.charge(slot, 7, 0);
        owners.leave(slot);
        assert_eq!((owners.join(10), owners.service(slot)), (slot, 7));
        owners.leave(slot);
        owners.leave(slot);
        for owner in 0..1000 {
            let slot = owners.join(owner);
            owners.leave(slot);
        }
        assert_eq!(owners.accounts.len(), 1, "accounts of owners who have left are used again");
    }
}
