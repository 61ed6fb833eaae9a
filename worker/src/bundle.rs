//! Votes on their way out, many under one signature.

use quorate_common::{
    B256,
    frame::{self, FRAME_MESSAGES_MAX},
    keys::VoteKey,
    messages::Separator,
    wire::{CommitItem, FRAME_BYTES_MAX, Inline, RevealItem, Votes},
};

/// Bytes of an encoded commit at most: task 5 + 5, attempt 3, commitment 33.
const COMMIT_BYTES: usize = 46;
/// Bytes of an encoded reveal at most, its inline blobs aside: task, attempt, three words, an option
/// and a count.
const REVEAL_BYTES: usize = 13 + 3 * 33 + 4;
/// Bytes of a length in front of an inline blob: at most 2 KiB, so two; one is spare.
const BLOB_LEN_BYTES: usize = 3;
/// What votes may take of a frame: the rest is for tag, counts and signature.
const VOTES_BYTES_MAX: usize = FRAME_BYTES_MAX - 256;

/// Votes that wait to be signed.
#[derive(Debug, Default)]
pub struct Bundle {
    commits: Vec<(CommitItem, B256)>,
    reveals: Vec<(RevealItem, B256)>,
}

impl Bundle {
    /// A commit, and its struct hash.
    pub fn commit(&mut self, item: CommitItem, hash: B256) {
        self.commits.push((item, hash));
    }

    /// A reveal, and its struct hash.
    pub fn reveal(&mut self, item: RevealItem, hash: B256) {
        self.reveals.push((item, hash));
    }

    /// All of them, in as few frames as fit, each signed once.
    pub fn take(&mut self, key: &VoteKey, separator: &Separator) -> Vec<Votes> {
        let mut commits = std::mem::take(&mut self.commits).into_iter().peekable();
        let mut reveals = std::mem::take(&mut self.reveals).into_iter().peekable();
        let mut frames = Vec::new();
        loop {
            let mut room = Room { messages: FRAME_MESSAGES_MAX, bytes: VOTES_BYTES_MAX };
            let (mut some_commits, mut some_reveals) = (Vec::new(), Vec::new());
            while let Some(commit) = commits.next_if(|_| room.take(COMMIT_BYTES)) {
                some_commits.push(commit);
            }
            while let Some(reveal) = reveals.next_if(|(item, _)| room.take(reveal_bytes(item))) {
                some_reveals.push(reveal);
            }
            if some_commits.is_empty() && some_reveals.is_empty() {
                return frames;
            }
            frames.push(signed(key, separator, some_commits, some_reveals));
        }
    }
}

/// What is left of a frame.
struct Room {
    messages: usize,
    bytes: usize,
}

impl Room {
    fn take(&mut self, bytes: usize) -> bool {
        if self.messages == 0 || self.bytes < bytes {
            return false;
        }
        self.messages -= 1;
        self.bytes -= bytes;
        true
    }
}

fn reveal_bytes(item: &RevealItem) -> usize {
    let blobs = |inline: &Inline| -> usize {
        inline.blobs.iter().map(|blob| blob.len() + BLOB_LEN_BYTES).sum()
    };
    REVEAL_BYTES + item.inline.as_ref().map_or(0, blobs)
}

fn signed(
    key: &VoteKey,
    separator: &Separator,
    commits: Vec<(CommitItem, B256)>,
    reveals: Vec<(RevealItem, B256)>,
) -> Votes {
    let hashes: Vec<B256> = commits
        .iter()
        .map(|(_, hash)| *hash)
        .chain(reveals.iter().map(|(_, hash)| *hash))
        .collect();
    let signature = frame::sign(key, separator, &hashes);
    let commits = commits.into_iter().map(|(item, _)| item).collect();
    let reveals = reveals.into_iter().map(|(item, _)| item).collect();
    Votes { commits, reveals, signature }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_common::{
        digest::Digest,
        ids::{DealId, DealSlot, PoolId, TaskKey},
        messages::Message as _,
        wire::{self, ToScheduler},
    };

    const POOL: PoolId = PoolId(1);

    fn task_id(task: TaskKey) -> B256 {
        DealId::default().task_id(task.idx)
    }

    fn bundle(commits: u32, reveals: u32, inline: usize) -> Bundle {
        let mut bundle = Bundle::default();
        let task = |idx| TaskKey { deal: DealSlot(u32::MAX), idx: u32::MAX - idx };
        let word = B256::repeat_byte(0xff);
        for idx in 0..commits {
            let item = CommitItem { task: task(idx), attempt: u16::MAX, commitment: word };
            bundle.commit(item, item.message(POOL, task_id(item.task)).struct_hash());
        }
        for idx in 0..reveals {
            let blobs = vec![vec![1; inline / 4]; 4];
            let item = RevealItem {
                task: task(idx),
                attempt: u16::MAX,
                set_root: word,
                digest: Digest(word.0),
                salt: word,
                inline: Some(Inline { blobs }),
            };
            let hash = item.message(POOL, task_id(item.task)).struct_hash();
            bundle.reveal(item, hash);
        }
        bundle
    }

    #[test]
    fn votes_are_signed_in_as_few_frames_as_fit() {
        let key = VoteKey::from_bytes(&[1; 32]).expect("a valid key");
        let separator = Separator(B256::repeat_byte(7));
        for (commits, reveals, inline, expected) in
            [(0, 0, 0, 0), (1, 0, 0, 1), (256, 1, 0, 2), (300, 300, 60, 3), (3, 100, 2048, 4)]
        {
            let mut bundle = bundle(commits, reveals, inline);
            let frames = bundle.take(&key, &separator);
            assert_eq!(frames.len(), expected, "{commits} commits, {reveals} reveals");
            let count = |f: fn(&Votes) -> usize| frames.iter().map(f).sum::<usize>();
            assert_eq!(count(|votes| votes.commits.len()), commits as usize);
            assert_eq!(count(|votes| votes.reveals.len()), reveals as usize);
            for votes in frames {
                votes.check().expect("within bounds");
                let hashes = votes.hashes(POOL, |_| Some(DealId::default())).expect("known");
                let signer = frame::signer(&separator, &hashes, &votes.signature);
                assert_eq!(signer, Some(key.address()));
                wire::encode(&ToScheduler::Votes(votes), &mut Vec::new());
            }
            assert!(bundle.take(&key, &separator).is_empty());
        }
    }
}
