//! Who has to go so that another can come: the arithmetic of evicting, without the models.

/// A model as far as room is concerned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tenant {
    /// What it takes now; nothing if it is not loaded.
    pub(super) bytes: u64,
    /// It is loaded, idle and not pinned.
    pub(super) can_go: bool,
    /// The larger, the later.
    pub(super) last_asked: u64,
}

/// Which tenants go, so that there are `bytes` free of `budget`: as few as will do, those that were asked for longest ago
/// first. None if all that can go would not be enough.
pub(super) fn make(tenants: &[Tenant], bytes: u64, budget: u64) -> Option<Vec<usize>> {
    let mut taken = tenants.iter().fold(bytes, |sum, tenant| sum.saturating_add(tenant.bytes));
    let mut candidates: Vec<usize> = (0..tenants.len()).filter(|&i| tenants[i].can_go).collect();
    candidates.sort_by_key(|&i| tenants[i].last_asked);
    let mut leaving = Vec::new();
    let mut candidates = candidates.into_iter();
    while taken > budget {
        let next = candidates.next()?;
        taken -= tenants[next].bytes;
        leaving.push(next);
    }
    // One that was chosen first may be too much in the end, when a larger one has gone behind it.
    let mut kept = Vec::new();
    for &index in &leaving {
        if taken + tenants[index].bytes <= budget {
            taken += tenants[index].bytes;
            kept.push(index);
        }
    }
    leaving.retain(|index| !kept.contains(index));
    Some(leaving)
}

#[cfg(test)]
mod tests {
    use super::{Tenant, make};

    /// Tenants as (bytes, can go, last asked); a budget of 10.
    fn check(tenants: &[(u64, bool, u64)], bytes: u64, leaving: Option<&[usize]>) {
        let tenants: Vec<Tenant> =
            tenants.iter().map(|&(bytes, can_go, last_asked)| Tenant { bytes, can_go, last_asked }).collect();
        assert_eq!(make(&tenants, bytes, 10).as_deref(), leaving, "{tenants:?} {bytes}");
    }

    #[test]
    fn the_longest_unasked_go_first_and_no_more_than_needed() {
        check(&[], 10, Some(&[]));
        check(&[], 11, None);
        check(&[(4, true, 1), (4, true, 2)], 2, Some(&[]));
        check(&[(4, true, 1), (4, true, 2)], 3, Some(&[0]));
        check(&[(4, true, 2), (4, true, 1)], 3, Some(&[1]));
        check(&[(4, true, 2), (4, true, 1)], 7, Some(&[1, 0]));
        // The one that is running or pinned stays.
        check(&[(4, false, 1), (4, true, 2)], 3, Some(&[1]));
        check(&[(4, false, 1), (4, true, 2)], 7, None);
        // The small one stays after all, since the large one must go anyway.
        check(&[(1, true, 1), (8, true, 2)], 8, Some(&[1]));
        // What is not loaded brings nothing.
        check(&[(0, false, 1), (9, true, 2)], 2, Some(&[1]));
    }
}
