//! From a version on disk to one that runs, and back again: staging, trial, coming up, giving up.

use super::{Bad, Effect, Fault, Goal, Input, Kept, Notice, Refusal, State, Trial};
use semver::Version;

/// Starts of a version that has not come up: the second and third are for a machine that lost power.
const STARTS_MAX: u8 = 3;
/// How long a version that was only silent is left alone: the network may have been down.
const AGAIN_S: u64 = 86_400;
/// How often it is tried again after that.
const TIMES_MAX: u8 = 3;

impl State {
    /// Takes in what happened, and says what is to be done once this state is on disk.
    ///
    /// # Errors
    /// [`Refusal`]: nothing has changed.
    pub fn handle(&mut self, now_unix: u64, input: Input) -> Result<Vec<Effect>, Refusal> {
        let effects = match input {
            Input::Staged(version) => self.on_staged(version),
            Input::Apply => self.on_apply(now_unix)?,
            Input::RollBack => self.on_roll_back()?,
            Input::Start { own } => self.on_start(now_unix, &own),
            Input::CameUp(version) => self.on_up(version),
            Input::Failed(version, fault) => self.on_failed(now_unix, version, fault),
        };
        self.forget_unneeded();
        Ok(effects)
    }

    fn on_staged(&mut self, version: Version) -> Vec<Effect> {
        let offer = self.offer.as_ref().filter(|offer| offer.version == version);
        // Between the order and its end the offer may have changed: then the file is of no use.
        if let Some(file) = offer.and_then(|offer| offer.file) {
            self.kept.insert(version, Kept { file, came_up: false });
        }
        Vec::new()
    }

    /// The owner's word counts more than the rollout's share and a version's bad name.
    fn on_apply(&mut self, now_unix: u64) -> Result<Vec<Effect>, Refusal> {
        let (now_unix, _) = self.read_clock(now_unix);
        let nothing = |why| Refusal::Nothing { verb: "apply", why };
        self.is_free()?;
        let offer = self.offer.clone().ok_or(nothing("no newer version is known; check first"))?;
        if now_unix >= offer.expires_unix {
            return Err(nothing("what is known of the newer version has expired; check again"));
        }
        let file = offer.file.ok_or(nothing("the release has no program for this platform"))?;
        if self.kept.get(&offer.version).is_none_or(|kept| kept.file != file) {
            return Ok(vec![Effect::Fetch(offer.version, file)]);
        }
        self.wanted = Some(Goal::Version(offer.version));
        Ok(vec![Effect::Switch])
    }

    fn on_roll_back(&mut self) -> Result<Vec<Effect>, Refusal> {
        self.is_free()?;
        if !self.has_previous {
            let why = "nothing ran before what runs now, or it is not kept";
            return Err(Refusal::Nothing { verb: "roll back to", why });
        }
        self.wanted = Some(Goal::Back);
        Ok(vec![Effect::Switch])
    }

    fn on_start(&mut self, now_unix: u64, own: &Version) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(trial) = self.trial.clone()
            && trial.starts >= STARTS_MAX
        {
            effects.extend(self.on_failed(now_unix, trial.version, Fault::Died));
        }
        match self.wanted.take() {
            Some(Goal::Version(version)) => self.begin(version),
            Some(Goal::Back) => self.go_back(),
            None => {}
        }
        if let Some(trial) = &mut self.trial {
            trial.starts += 1;
        }
        self.prefer(own);
        let on_trial = self.trial.is_some();
        effects.push(Effect::Run { version: self.current.clone(), on_trial });
        effects
    }

    fn begin(&mut self, version: Version) {
        if self.kept.contains_key(&version) && self.current.as_ref() != Some(&version) {
            let back_to = self.current.replace(version.clone());
            self.trial = Some(Trial { version, back_to, starts: 0 });
        }
    }

    /// What ran before has come up once, so it needs no trial.
    fn go_back(&mut self) {
        if let Some(left) = std::mem::replace(&mut self.current, self.previous.take()) {
            let bad = Bad { fault: Fault::Owner, until_unix: None, times: 1 };
            self.remember_bad(left, bad);
        }
        self.has_previous = false;
    }

    /// Whoever installed a newer program means it to run.
    fn prefer(&mut self, own: &Version) {
        let is_usable = |version: &Version| version > own && self.kept.contains_key(version);
        if !self.current.as_ref().is_some_and(is_usable) {
            (self.current, self.trial) = (None, None);
            (self.previous, self.has_previous) = (None, false);
        }
    }

    fn on_up(&mut self, version: Version) -> Vec<Effect> {
        let Some(trial) = self.trial.take_if(|trial| trial.version == version) else {
            return Vec::new();
        };
        if let Some(kept) = self.kept.get_mut(&version) {
            kept.came_up = true;
        }
        self.bad.remove(&version);
        (self.previous, self.has_previous) = (trial.back_to, true);
        self.offer.take_if(|offer| offer.version <= version);
        vec![Effect::Tell(Notice::Up(version))]
    }

    fn on_failed(&mut self, now_unix: u64, version: Version, fault: Fault) -> Vec<Effect> {
        if self.current.as_ref() != Some(&version) {
            return Vec::new();
        }
        let back_to = match self.trial.take() {
            Some(trial) => trial.back_to,
            None => {
                self.has_previous = false;
                self.previous.take()
            }
        };
        let times = self.bad.get(&version).map_or(0, |bad| bad.times).saturating_add(1);
        let may_again = fault == Fault::Silent && times < TIMES_MAX;
        let until_unix = may_again.then_some(now_unix + AGAIN_S);
        self.remember_bad(version.clone(), Bad { fault, until_unix, times });
        self.kept.remove(&version);
        self.current = back_to.filter(|version| self.kept.contains_key(version));
        self.wanted = None;
        vec![Effect::Tell(Notice::GivenUp(version, fault, self.current.clone()))]
    }

    fn is_free(&self) -> Result<(), Refusal> {
        match &self.trial {
            Some(trial) => Err(Refusal::Busy(trial.version.clone())),
            None => Ok(()),
        }
    }
}
