//! What a source shows: whether it is believed, and whether it is for this machine.

use super::{Artefact, Document, Effect, Notice, Refusal, Release, Root, Seen, State};
use quorate_common::{digest::Digest, keys::NodeKey};
use semver::Version;
use serde::{Deserialize, Serialize};

/// Context of the signature that a machine's place in a staged rollout is made of.
const ROLLOUT: &str = "quorate.update-rollout/v1";
/// A clock this much behind its own word is worth a warning; less is somebody setting it right.
const CLOCK_SLACK_S: u64 = 86_400;
/// Channels remembered; a worker follows one, an owner may try another.
const CHANNELS_MAX: usize = 8;
const DAY_S: u64 = 86_400;

/// Who looks.
#[derive(Clone, Debug)]
pub struct Me {
    /// `quorate-worker`.
    pub product: String,
    /// Which channel it follows.
    pub channel: String,
    /// As `x86_64-linux`.
    pub platform: String,
    /// The version that runs.
    pub running: Version,
    /// What its owner allows.
    pub mode: Mode,
    /// Nobody else knows it.
    pub secret: Digest,
}

/// How far an updater goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It does not even ask.
    Off,
    /// It asks and says so.
    Tell,
    /// It fetches and verifies as well.
    Stage,
    /// It installs as well, when the work in hand is done.
    Apply,
}

/// The newest version, as this machine sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Which.
    pub version: Version,
    /// Its file for this platform, if there is one.
    pub file: Option<Artefact>,
    /// The oldest version it may follow.
    pub from: Version,
    /// Until when it may be installed.
    pub expires_unix: u64,
    /// The staged rollout has come to this machine.
    pub is_my_turn: bool,
    /// For people.
    pub notes: String,
}

impl Me {
    /// A secret that only this machine can compute: a signature, which ed25519 always makes the same.
    pub fn secret(key: &NodeKey) -> Digest {
        Digest::of(&key.sign(ROLLOUT, &[]))
    }

    /// This machine's place among a thousand, another one for each version, so that nobody is always first.
    pub fn place(&self, version: &Version) -> u16 {
        let text = [&self.secret.0[..], version.to_string().as_bytes()].concat();
        let Digest([a, b, c, d, ..]) = Digest::of(&text);
        // Of a thousand, whatever is left over from 2^32 makes no difference that counts.
        u16::try_from(u32::from_be_bytes([a, b, c, d]) % 1000).unwrap_or(999)
    }
}

impl State {
    /// Takes in what a source shows. What could be believed is remembered even if the rest is refused.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn look(
        &mut self,
        now_unix: u64,
        me: &Me,
        roots: &[Document],
        release: &Document,
    ) -> Result<Vec<Effect>, Refusal> {
        let (now_unix, clock) = self.read_clock(now_unix);
        for document in roots {
            self.succeed(document)?;
        }
        self.root.check("release", Release::SCHEMA, release)?;
        let body = Digest::of(release.body.as_bytes());
        let release = Release::read(release)?;
        is_for(me, &release)?;
        self.count(&release, body)?;
        // What the keys have signed bounds the clock from below, whatever the machine says.
        let now_unix = now_unix.max(release.created_unix);
        in_force("root", self.root.expires_unix, now_unix)?;
        in_force("release", release.expires_unix, now_unix)?;
        self.fresh_unix = now_unix;
        let mut effects: Vec<Effect> =
            clock.map(|refusal| Effect::Tell(Notice::Clock(refusal))).into_iter().collect();
        effects.extend(self.consider(now_unix, me, release));
        Ok(effects)
    }

    /// The clock may be believed as it is: it was wrong before, not now.
    pub fn trust_clock(&mut self, now_unix: u64) {
        self.latest_unix = now_unix;
    }

    /// Begins anew from a root if the owner trusts another one than before; versions on disk stay.
    pub fn anchored(&mut self, anchor: Digest, root: Root) {
        if self.anchor != anchor {
            (self.anchor, self.root) = (anchor, root);
            self.seen.clear();
            self.offer = None;
        }
    }

    /// The later of what the clock says and what it said before, and a warning if they are far apart.
    pub(super) fn read_clock(&mut self, now_unix: u64) -> (u64, Option<Refusal>) {
        let behind = self.latest_unix.saturating_sub(now_unix);
        self.latest_unix = self.latest_unix.max(now_unix);
        let days = behind / DAY_S;
        (self.latest_unix, (behind > CLOCK_SLACK_S).then_some(Refusal::ClockBack { days }))
    }

    /// Where the keys that were have lost their power, what they counted is forgotten: else a thief of two keys
    /// could shut out all releases to come with one of the highest number.
    fn succeed(&mut self, document: &Document) -> Result<(), Refusal> {
        let next = self.root.succeed(document)?;
        if next.keys.intersection(&self.root.keys).count() < next.threshold {
            self.seen.clear();
        }
        self.root = next;
        Ok(())
    }

    /// Numbers only grow, and one number is one document.
    fn count(&mut self, release: &Release, body: Digest) -> Result<(), Refusal> {
        let (channel, shown) = (release.channel.clone(), release.sequence);
        match self.seen.get(&channel) {
            Some(seen) if shown < seen.sequence => {
                return Err(Refusal::Rollback { channel, shown, seen: seen.sequence });
            }
            Some(seen) if shown == seen.sequence && body != seen.body => {
                return Err(Refusal::TwoFaced { channel, sequence: shown });
            }
            Some(_) | None => {}
        }
        self.seen.insert(channel, Seen { sequence: shown, body });
        while self.seen.len() > CHANNELS_MAX {
            let other = self.seen.keys().find(|name| **name != release.channel).cloned();
            other.map(|name| self.seen.remove(&name));
        }
        Ok(())
    }

    fn consider(&mut self, now_unix: u64, me: &Me, release: Release) -> Vec<Effect> {
        if release.version <= me.running {
            self.offer = None;
            return Vec::new();
        }
        let offer = Offer {
            is_my_turn: me.place(&release.version) < release.share,
            file: release.artefacts.get(&me.platform).copied(),
            version: release.version,
            from: release.from,
            expires_unix: release.expires_unix,
            notes: release.notes,
        };
        self.offer = Some(offer.clone());
        let mut effects = vec![Effect::Tell(Notice::Newer(offer.clone()))];
        let is_due = offer.is_my_turn && !self.is_bad(now_unix, &offer.version);
        if let Some(file) = offer.file
            && is_due
            && offer.from <= me.running
            && me.mode >= Mode::Stage
            && self.trial.is_none()
        {
            effects.extend(self.go_on(me, offer.version, file));
        }
        effects
    }

    /// By itself, as far as the owner allows.
    fn go_on(&mut self, me: &Me, version: Version, file: Artefact) -> Option<Effect> {
        let is_here = self.kept.get(&version).is_some_and(|kept| kept.file == file);
        match (is_here, me.mode) {
            (false, _) => Some(Effect::Fetch(version, file)),
            (true, Mode::Apply) => {
                self.wanted = Some(super::Goal::Version(version));
                Some(Effect::Switch)
            }
            (true, Mode::Off | Mode::Tell | Mode::Stage) => None,
        }
    }
}

fn is_for(me: &Me, release: &Release) -> Result<(), Refusal> {
    let fields =
        [("product", &release.product, &me.product), ("channel", &release.channel, &me.channel)];
    for (field, value, expected) in fields {
        if value != expected {
            let (value, expected) = (value.clone(), expected.clone());
            return Err(Refusal::Other { field, value, expected });
        }
    }
    Ok(())
}

fn in_force(what: &'static str, expires_unix: u64, now_unix: u64) -> Result<(), Refusal> {
    match now_unix.checked_sub(expires_unix) {
        Some(over) => Err(Refusal::Expired { what, days: over / DAY_S }),
        None => Ok(()),
    }
}
