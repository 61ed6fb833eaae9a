//! A filter of system calls for Podman, whose own lets user namespaces and the kernel's keys through: its own,
//! with those taken out. Docker's filter refuses them already, and is left as it is.

use serde_json::{Value, json};
use std::{fs, io, io::Write as _};
use tempfile::NamedTempFile;

/// Where Podman's packages put its filter; the owner's before the package's.
const PODMANS: [&str; 2] = ["/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json"];
/// What no task needs: namespaces, mounts, keys that containers of one user share.
const REFUSED: [&str; 14] = [
    "add_key",
    "fsconfig",
    "fsmount",
    "fsopen",
    "keyctl",
    "mount",
    "move_mount",
    "open_tree",
    "pivot_root",
    "request_key",
    "setns",
    "umount",
    "umount2",
    "unshare",
];
/// `clone` with any of these makes a namespace: the flags `CLONE_NEW*` of Linux.
const NAMESPACES: u64 = 0x7e02_0000;
/// `clone3` takes its flags from memory, where no filter looks: it is as if the kernel had none.
const NO_SUCH_CALL: u32 = 38;

/// The filter in a file that an engine on this machine can read, if Podman's own is here.
pub(crate) fn stricter() -> Option<NamedTempFile> {
    let own = PODMANS.iter().find_map(|path| fs::read(path).ok())?;
    let filter = without_refused(serde_json::from_slice(&own).ok()?)?;
    written(&filter).ok()
}

fn written(filter: &Value) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::with_prefix("quorate-seccomp-")?;
    file.write_all(&serde_json::to_vec(filter)?)?;
    Ok(file)
}

/// A filter that allows what it names, with what is refused here named no more.
fn without_refused(mut filter: Value) -> Option<Value> {
    let rules = filter.get_mut("syscalls")?.as_array_mut()?;
    for rule in rules.iter_mut() {
        let is_allowed = rule["action"] == "SCMP_ACT_ALLOW";
        let names = rule.get_mut("names")?.as_array_mut()?;
        names.retain(|name| !is_allowed || !is_refused(name.as_str().unwrap_or_default()));
    }
    rules.retain(|rule| rule["names"].as_array().is_some_and(|names| !names.is_empty()));
    let no_namespace =
        json!([{ "index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }]);
    rules.push(json!({ "names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": no_namespace }));
    let errno =
        json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": NO_SUCH_CALL });
    rules.push(errno);
    Some(filter)
}

fn is_refused(name: &str) -> bool {
    matches!(name, "clone" | "clone3") || REFUSED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_allowed_nowhere() {
        let own = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["read", "clone", "clone3", "unshare"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["keyctl"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["setns"], "action": "SCMP_ACT_ERRNO" },
        ]});
        let filter = without_refused(own).expect("a filter");
        let rules = filter["syscalls"].as_array().expect("rules");
        let of = |name: &str| {
            let named =
                |rule: &&Value| rule["names"].as_array().is_some_and(|n| n.contains(&name.into()));
            rules.iter().filter(named).map(|rule| rule["action"].as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of("read"), [Some("SCMP_ACT_ALLOW")]);
        assert_eq!((of("keyctl"), of("unshare")), (vec![], vec![]));
        assert_eq!(
            (of("setns"), of("clone3")),
            (vec![Some("SCMP_ACT_ERRNO")], vec![Some("SCMP_ACT_ERRNO")])
        );
        assert_eq!(of("clone"), [Some("SCMP_ACT_ALLOW")]);
        assert_eq!(without_refused(json!({})), None);
    }
}
