//! How much a model may think before it answers, as clients say it.

use super::whole;
use crate::error::ApiError;
use crate::model::ServedModel;

/// What was said of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Thought {
    /// Tokens, each with the name of its field; -1 for as many as there is room for.
    pub(crate) budgets: Vec<(i64, &'static str)>,
    /// A word for it, which the template is told.
    pub(crate) effort: Option<String>,
    /// Whether there is to be none.
    pub(crate) is_off: bool,
}

/// What an effort means for models whose template does not know the word. What is not here has no limit.
const BUDGETS: [(&str, usize); 3] = [("minimal", 256), ("low", 1024), ("medium", 4096)];

impl Thought {
    /// The budget of one field that may not have been set.
    pub(crate) fn with(mut self, name: &'static str, budget: Option<i64>) -> Self {
        self.budgets.extend(budget.map(|budget| (budget, name)));
        self
    }

    /// Tokens after which the thinking is ended; none for no limit. The least of what was said counts.
    pub(super) fn budget(&self, model: &ServedModel) -> Result<Option<usize>, ApiError> {
        let mut budgets = Vec::new();
        for &(budget, name) in &self.budgets {
            let budget = whole(name, Some(budget), -1, i64::from(i32::MAX))?;
            budgets.extend(budget.and_then(|budget| usize::try_from(budget).ok()));
        }
        let effort = self.effort.as_deref().unwrap_or_default();
        if self.is_off || effort == "none" {
            budgets.push(0);
        } else if budgets.is_empty() && !model.known().knows_effort {
            budgets.extend(BUDGETS.iter().find(|(word, _)| *word == effort).map(|(_, budget)| *budget));
        }
        Ok(budgets.into_iter().min())
    }
}
