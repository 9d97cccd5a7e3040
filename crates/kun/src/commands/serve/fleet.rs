//! The models of a server: their files, found and checked at the start, and how each is loaded when its turn comes.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::Cpu;
use engine::limits::Limits;
use server::{Details, Entry, Loader, Registry, ServedModel};
use weights::gguf::Gguf;

use super::budget::{self, Needs, Plan, Wanted};
use crate::environment::Environment;
use crate::failure::{Failure, Outcome};
use crate::session::{self, Ctx, Session};
use crate::settings::{Settings, did_you_mean};
use crate::{memory, model_details, model_file, terminal};

/// All models, with what each may take.
pub(crate) struct Fleet {
    pub(crate) models: Vec<Member>,
    pub(crate) plan: Plan,
    cpu: Arc<Cpu>,
}

/// One of them.
pub(crate) struct Member {
    /// As it was named on the command line.
    typed: OsString,
    /// As clients name it.
    pub(crate) name: String,
    aliases: Vec<String>,
    path: PathBuf,
    pub(crate) needs: Needs,
    pub(crate) details: Details,
}

/// The models of the settings with the memory shared out, and a registry of them. Nothing is loaded yet. The settings get
/// the memory for bodies that the budget has room for.
pub(crate) fn prepare(
    settings: &mut Settings,
    environment: &Environment,
) -> Outcome<(Arc<Fleet>, Arc<Registry>)> {
    let (budget, auto) = budget::budget(settings.memory)?;
    settings.server.body_memory_bytes = budget::bodies(budget, settings.server.body_bytes_max);
    let wanted = Wanted {
        budget,
        auto,
        bodies: settings.server.body_memory_bytes as u64,
        connections_max: settings.server.connections_max,
        queue_max: settings.queue_max,
        sequences_max: settings.sequences_max,
        kv_tokens: settings.kv_tokens,
    };
    let fleet = Arc::new(Fleet::gather(settings, &wanted, environment)?);
    let registry =
        Registry::new(fleet.entries(), fleet.plan.models, settings.load_wait, Arc::clone(&fleet) as _);
    Ok((fleet, registry))
}

impl Fleet {
    /// Finds the models' files, fetches those that are not here, and shares out the memory.
    fn gather(settings: &Settings, wanted: &Wanted, environment: &Environment) -> Outcome<Fleet> {
        let cpu = Arc::new(session::cpu(settings.threads, environment)?);
        let default = [model_file::default_name()];
        let typed = if settings.models.is_empty() { &default[..] } else { &settings.models };
        let mut models = typed
            .iter()
            .map(|typed| Member::find(typed, settings, wanted, environment))
            .collect::<Outcome<Vec<_>>>()?;
        name_all(&mut models, settings)?;
        for model in &mut models {
            model.needs.limits.prefix_cache = !settings.no_prefix_cache;
        }
        let needs: Vec<Needs> = models.iter().map(|model| model.needs.clone()).collect();
        let plan = budget::plan(&needs, wanted)?;
        for (model, share) in models.iter_mut().zip(&plan.shares) {
            model.needs.limits.kv_pages = share.kv_pages;
        }
        Ok(Fleet { models, plan, cpu })
    }

    /// The models as the registry lists them.
    fn entries(&self) -> Vec<Entry> {
        let entry = |(model, share): (&Member, &budget::Share)| Entry {
            name: model.name.clone(),
            aliases: model.aliases.clone(),
            typed: model.typed.to_str().map(str::to_owned),
            pinned: model.needs.pinned,
            bytes: share.bytes,
            context_tokens: model.needs.context_tokens,
            details: model.details.clone(),
        };
        self.models.iter().zip(&self.plan.shares).map(entry).collect()
    }

    /// The models that are loaded before anybody is answered: the first, which answers those who name none, and the
    /// pinned ones.
    pub(crate) fn at_start(&self) -> impl Iterator<Item = usize> {
        (0..self.models.len()).filter(|&index| index == 0 || self.models[index].needs.pinned)
    }

    /// Loads a model while no other one is at work. What its weights take is measured then, and its KV cache gets less
    /// where that is more than was reckoned.
    pub(crate) fn open_first(&self, index: usize, loading: &mut dyn FnMut(f32)) -> Outcome<ServedModel> {
        let needs = &self.models[index].needs;
        let before = memory::resident();
        let mut adjust = |limits: &mut Limits| {
            let (Some(before), Some(now)) = (before, memory::resident()) else { return };
            let over = now.saturating_sub(before).saturating_sub(needs.weights).div_ceil(needs.page.max(1));
            let least = needs.context_tokens.div_ceil(engine::batch::PAGE_TOKENS) + 1;
            limits.kv_pages = limits.kv_pages.saturating_sub(over as usize).max(least);
        };
        self.open(index, &mut adjust, loading)
    }

    fn open(
        &self,
        index: usize,
        adjust: &mut dyn FnMut(&mut Limits),
        loading: &mut dyn FnMut(f32),
    ) -> Outcome<ServedModel> {
        let model = &self.models[index];
        let gguf = Gguf::open(&model.path)?;
        let mut limits = || {
            let mut limits = model.needs.limits;
            adjust(&mut limits);
            limits
        };
        let session = Session::load(&gguf, &model.typed, &self.cpu, &mut limits, loading)?;
        Ok(session.into_served(model.name.clone()))
    }
}

impl Loader for Fleet {
    fn load(&self, index: usize) -> Result<ServedModel, String> {
        self.open(index, &mut |_| (), &mut terminal::loading()).map_err(|failure| failure.to_string())
    }
}

impl Member {
    fn find(
        typed: &OsStr,
        settings: &Settings,
        wanted: &Wanted,
        environment: &Environment,
    ) -> Outcome<Member> {
        let path = model_file::locate(typed, environment)?;
        let gguf = Gguf::open(&path)?;
        let ctx = session::choose_ctx(gguf.metadata(), Ctx::of_flag(settings.ctx))?;
        let name = served_name(typed, &path);
        Ok(Member {
            needs: Needs::of(&gguf, &name, ctx, wanted),
            details: model_details::details(&gguf),
            typed: typed.to_owned(),
            aliases: Vec::new(),
            name,
            path,
        })
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.typed == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// What clients call a model: its own name, or its file's if it was named by a path, which is nobody else's business.
fn served_name(typed: &OsStr, path: &Path) -> String {
    match typed.to_str() {
        Some(name) if !model_file::is_path(name) => name.to_owned(),
        _ => path.file_stem().unwrap_or(typed).to_string_lossy().into_owned(),
    }
}

/// Gives the models their aliases and pins; every name is one model's.
fn name_all(models: &mut [Member], settings: &Settings) -> Outcome {
    for index in 0..models.len() {
        let name = models[index].name.clone();
        if models[..index].iter().any(|other| other.is_called(&name)) {
            return Err(Failure::usage(format!(
                "two models are called {name}: rename a file, or serve one of them only"
            )));
        }
    }
    for (alias, model) in &settings.aliases {
        let index = position(models, model, "--alias")?;
        if models.iter().any(|other| other.is_called(alias)) {
            return Err(Failure::usage(format!(
                "--alias {alias}={model}: {alias} is the name of a model already"
            )));
        }
        models[index].aliases.push(alias.clone());
    }
    for name in &settings.pins {
        let index = position(models, name, "--pin")?;
        models[index].needs.pinned = true;
    }
    Ok(())
}

fn position(models: &[Member], name: &str, flag: &str) -> Outcome<usize> {
    models.iter().position(|model| model.is_called(name)).ok_or_else(|| {
        let known: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        let meant = did_you_mean(name, known.iter().copied());
        Failure::usage(format!("{flag}: no model {name} is served{meant}\nserved are: {}", known.join(", ")))
    })
}
