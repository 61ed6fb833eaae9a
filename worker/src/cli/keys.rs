//! Every key of the configuration: its name, its default and why that is the default.

use quorate_common::config::Key;

/// Keys whose new values a running worker takes at its next start only.
pub(crate) const AT_START: [&str; 19] = [
    "share",
    "invite",
    "name",
    "slots",
    "memory_mib",
    "cache_mib",
    "owner",
    "owner_key_file",
    "password_file",
    "chain.url",
    "api",
    "packs.use",
    "docker.registries",
    "docker.use",
    "docker.socket",
    "session.socket",
    "metrics.listen",
    "page.listen",
    "machines.listen",
];

/// Every key, in the order `config show` prints them.
pub(crate) const KEYS: &[Key] = &[
    Key {
        name: "invite",
        default: "",
        help: "The pool to work for: the invitation its operator gave out.",
    },
    Key { name: "name", default: "\"worker\"", help: "A name for people, at most 64 bytes." },
    Key {
        name: "slots",
        default: "0",
        help: "Replicas at once, up to 1024; 0 is one per processor core.",
    },
    Key {
        name: "share",
        default: "50",
        help: "This pool's part of the slots where the worker belongs to several (`pools`), 0 to 100, against those \
               of the others; with 0 it gets what nobody else wants.",
    },
    Key {
        name: "price",
        default: "\"0\"",
        help: "The least a deal must pay for a task: token units, or a decimal of tokens as \"0.001\". What is \
               earned of it is this worker's share among those who agree.",
    },
    Key {
        name: "memory_mib",
        default: "0",
        help: "Memory for all slots, in MiB; 0 is 512 a slot. Tasks that want more than a share go back.",
    },
    Key {
        name: "cache_mib",
        default: "2048",
        help: "Disk for modules, inputs and results, in MiB; what is unused longest goes first.",
    },
    Key {
        name: "owner",
        default: "\"owner\"",
        help: "The account that owns stake and earnings: a keystore file in DATA-DIR/wallets.",
    },
    Key {
        name: "owner_key_file",
        default: "",
        help: "Instead of a keystore: a file with that account's private key, mode 0600.",
    },
    Key {
        name: "payout",
        default: "",
        help: "Address that claims are passed on to, with the owner's gas; unset: the owner keeps them. A charity's \
               address is a donation.",
    },
    Key {
        name: "password_file",
        default: "",
        help: "File with the keystore's password, mode 0600; else QUORATE_PASSWORD, else DATA-DIR/wallets/owner.password.",
    },
    Key {
        name: "chain.url",
        default: "",
        help: "JSON-RPC node, http or https, or up to five: an array, or commas between them; unset: the \
               invitation's.",
    },
    Key {
        name: "escape.key_file",
        default: "",
        help: "File (mode 0600) with the key of an account that holds a little gas and nothing else: with it \
               the worker says on chain what the scheduler does not take. Unset: it only warns.",
    },
    Key {
        name: "claim.when",
        default: "\"1.0\"",
        help: "Have earnings paid out by itself when so much is final and unclaimed: tokens as \"1.0\", or \"off\". The \
               gas is of the account of `escape.key_file`; without one you claim yourself.",
    },
    Key {
        name: "claim.coin_price",
        default: "\"0\"",
        help: "What a coin of the chain costs, in tokens: then it waits until gas takes a twentieth at most; 0: not \
               known, nothing is compared.",
    },
    Key {
        name: "dedicated",
        default: "false",
        help: "Whether nobody else uses this machine: then it works whoever is there and whatever else runs.",
    },
    Key {
        name: "cores.in_use_percent",
        default: "50",
        help: "Slots that work while you use the computer, in percent, rounded up: half of the cores keep a desktop \
               smooth.",
    },
    Key {
        name: "cpu.percent",
        default: "100",
        help: "Share of a core each task may take, in percent of its time, 1 to 100: less is cooler and quieter.",
    },
    Key {
        name: "load.limit_percent",
        default: "50",
        help: "Rest while other programs take more than so many percent of all cores for 10 seconds, until a minute \
               of less; 0: never.",
    },
    Key {
        name: "memory.in_use_percent",
        default: "50",
        help: "Memory for all slots while you use the computer, in percent of the machine's.",
    },
    Key { name: "memory.idle_percent", default: "90", help: "The same while nobody is there." },
    Key {
        name: "disk.keep_free_mib",
        default: "5120",
        help: "Take nothing new while the disk has less free, in MiB: systems misbehave on full disks.",
    },
    Key {
        name: "network.metered",
        default: "false",
        help: "Whether to take work over a line that is paid by the byte, as NetworkManager says.",
    },
    Key {
        name: "network.down_kib_s",
        default: "0",
        help: "Fetch at most so many KiB a second, 8 or more; 0: any. Tasks are small beside a line.",
    },
    Key {
        name: "network.up_kib_s",
        default: "0",
        help: "Bring at most so many KiB of results a second, 8 or more; 0: any.",
    },
    Key {
        name: "network.month_mib",
        default: "0",
        help: "MiB of a calendar month, both ways; 0: any. Then nothing new is taken, and before that nothing is \
               fetched that is larger than what is left; results that were promised still go out.",
    },
    Key {
        name: "idle.only",
        default: "false",
        help: "Work only while nobody is there; half of the cores are rarely noticed, so not by default.",
    },
    Key {
        name: "idle.minutes",
        default: "3",
        help: "Minutes without key or mouse after which nobody is there, 1 to 600.",
    },
    Key { name: "battery.run", default: "false", help: "Whether to work on battery." },
    Key {
        name: "battery.charge_percent",
        default: "90",
        help: "While charging, wait until the battery holds so many percent; charging and working heat it twice.",
    },
    Key {
        name: "heat.limit_c",
        default: "85",
        help: "Rest while the processor is hotter than so many degrees Celsius, until 10 less for a minute; 0: never.",
    },
    Key {
        name: "screen.pause",
        default: "true",
        help: "Whether to rest while a window fills the screen: a film, a game, a talk.",
    },
    Key {
        name: "programs.pause",
        default: "\"\"",
        help: "Rest while one of these programs runs: names as `ps -A` shows them, commas between them.",
    },
    Key {
        name: "schedule",
        default: "\"always\"",
        help: "When to work, by the half hour, as \"Mon-Fri 19:00-07:00, Sat-Sun\".",
    },
    Key {
        name: "energy.price_kwh",
        default: "\"0\"",
        help: "What a kilowatt hour costs you, in tokens; with energy.watts no task is taken that pays less than it \
               costs.",
    },
    Key {
        name: "energy.watts",
        default: "0",
        help: "Watts a busy core takes more than an idle one: some 10 on a desktop, 4 on a laptop; 0: not known.",
    },
    Key {
        name: "session.socket",
        default: "",
        help: "Where session agents tell of key and mouse; unset: DATA-DIR/session.sock, for your own only. Elsewhere \
               everybody who is logged in may connect.",
    },
    Key {
        name: "packs.use",
        default: "\"on\"",
        help: "Runtime packs, as Python's: \"off\" gives their tasks back. Compiling one takes five minutes of a \
               core and 1.5 GB, once, and is not paid for.",
    },
    Key {
        name: "docker.price",
        default: "\"0\"",
        help: "The least a deal must pay for a task in a container, where that is more than `price`.",
    },
    Key {
        name: "docker.registries",
        default: "\"\"",
        help: "Registries that images may be fetched from, commas between them, as \"docker.io, ghcr.io\"; http://HOST:PORT \
               is one without TLS. Each learns your address, and perhaps tells it to who publishes there; \"\": images \
               come from the scheduler only.",
    },
    Key {
        name: "docker.use",
        default: "\"off\"",
        help: "Containers: \"off\"; \"auto\" offers them if an engine is there whose limits all hold; \"require\" \
               does not start without.",
    },
    Key {
        name: "docker.socket",
        default: "",
        help: "The engine's socket, Docker's or Podman's; unset: DOCKER_HOST, the user's own, the system's.",
    },
    Key {
        name: "metrics.listen",
        default: "",
        help: "Loopback address with a port, as 127.0.0.1:7422, for Prometheus; unset: no metrics.",
    },
    Key {
        name: "page.listen",
        default: "\"127.0.0.1:7430\"",
        help: "Loopback address with a port for your page, or \"off\"; a free port where that one is taken. \
               `quorate-worker open` lets a browser in.",
    },
    Key {
        name: "machines.listen",
        default: "",
        help: "Address with a port, as 0.0.0.0:7423, where your other machines are heard once they are paired; \
               unset: nowhere.",
    },
    Key {
        name: "update.mode",
        default: "\"tell\"",
        help: "New versions: \"off\"; \"tell\" says that there is one; \"stage\" fetches and verifies it too; \"apply\" \
               installs it too, when the work in hand is done.",
    },
    Key {
        name: "update.url",
        default: "",
        help: "Where releases are shown: https://…, or the whole path of a folder; unset: nobody is asked.",
    },
    Key {
        name: "update.root",
        default: "",
        help: "File with the publisher's root: whose signatures count. Without it no release is believed.",
    },
    Key {
        name: "update.channel",
        default: "\"stable\"",
        help: "Which of the publisher's channels is followed.",
    },
    Key {
        name: "update.every_hours",
        default: "12",
        help: "Hours between two looks, 1 to 168: twice a day hears of a release and costs two requests.",
    },
    Key {
        name: "update.patience_s",
        default: "180",
        help: "Seconds, 1 to 3600, in which a new version must have reached the scheduler, or the old one runs again.",
    },
    Key {
        name: "api",
        default: "",
        help: "The scheduler's HTTP API, for claims; unset: the invitation's.",
    },
];
