// The program in the containers that the worker itself starts: it holds a task's folders open (`hold`), and
// tries, before any stranger does, to break out of every limit (`facts`, `pids`, `memory`, `cpu`, `flood`,
// `spin`, `orphan`, `freeze`). It says what happened, one `name value` a line; the worker judges.
//
// Deliberately absent: any opinion about what should have happened, and anything that needs a library.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (64 * 1024)
static char chunk[CHUNK];

static void say(const char *name, const char *value) {
    printf("%s %s\n", name, value);
    fflush(stdout);
}

static void say_number(const char *name, long long value) {
    printf("%s %lld\n", name, value);
    fflush(stdout);
}

// 0 for what succeeded, else the error's number.
static void say_outcome(const char *name, long result) {
    say_number(name, result < 0 ? errno : 0);
}

static void status(void) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256], key[64], value[128];
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%63[^:]: %127s", key, value) == 2 &&
            (!strncmp(key, "Cap", 3) || !strcmp(key, "NoNewPrivs") || !strcmp(key, "Seccomp")))
            say(key, value);
    if (file) fclose(file);
}

// Every network interface but the loopback's.
static void interfaces(void) {
    FILE *file = fopen("/proc/net/dev", "r");
    char line[256], name[64];
    int others = 0, rows = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (rows++ < 2 || sscanf(line, " %63[^:]:", name) != 1) continue;
        others += strcmp(name, "lo") && strncmp(name, "tunl", 4) && strncmp(name, "sit", 3) &&
                  strncmp(name, "ip6", 3) && strncmp(name, "gre", 3) && strncmp(name, "erspan", 6) &&
                  strncmp(name, "ip_vti", 6);
    }
    if (file) fclose(file);
    say_number("interfaces", others);
}

static void reach(const char *name, unsigned address, int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(address);
    say_outcome(name, fd < 0 ? -1 : connect(fd, (struct sockaddr *)&to, sizeof to));
    if (fd >= 0) close(fd);
}

// Fills a folder until it is told to stop, and leaves it empty again.
static void fill(const char *name, const char *path, long long most) {
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    long long bytes = 0;
    ssize_t wrote = 0;
    while (fd >= 0 && bytes < most && (wrote = write(fd, chunk, CHUNK)) > 0) bytes += wrote;
    say_number(name, fd < 0 ? -errno : bytes);
    if (fd >= 0) close(fd);
    unlink(path);
}

// How many empty files a folder takes.
static void files(const char *name, const char *folder, int most) {
    char path[128];
    int made = 0;
    for (; made < most; made++) {
        snprintf(path, sizeof path, "%s/f%d", folder, made);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        if (fd < 0) break;
        close(fd);
    }
    say_number(name, made);
    while (made-- > 0) {
        snprintf(path, sizeof path, "%s/f%d", folder, made);
        unlink(path);
    }
}

// Copies this program and runs the copy: 0 if it ran.
static void execute(const char *name, const char *path) {
    int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_CREAT | O_WRONLY, 0700);
    ssize_t read_now;
    while (from >= 0 && to >= 0 && (read_now = read(from, chunk, CHUNK)) > 0)
        if (write(to, chunk, read_now) != read_now) break;
    if (from >= 0) close(from);
    if (to >= 0) close(to);
    memset(chunk, 0, CHUNK);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execl(path, path, "nothing", (char *)0);
        _exit(errno);
    }
    int ended = 0;
    waitpid(child, &ended, 0);
    say_number(name, WEXITSTATUS(ended));
    unlink(path);
}

static void opens(const char *name, const char *path, int flags) {
    int fd = open(path, flags, 0600);
    say_outcome(name, fd);
    if (fd >= 0) close(fd);
}

// A file that lists as empty when it is masked.
static void reads(const char *name, const char *path) {
    int fd = open(path, O_RDONLY);
    ssize_t got = fd < 0 ? -1 : read(fd, chunk, 16);
    say_number(name, got > 0 ? 0 : got == 0 ? -1 : errno);
    if (fd >= 0) close(fd);
}

static void facts(void) {
    say_number("uid", getuid());
    say_number("gid", getgid());
    say_number("pid", getpid());
    status();
    interfaces();
    reach("metadata", 0xa9fea9fe, 80);
    reach("outside", 0x08080808, 53);
    opens("root", "/written", O_CREAT | O_WRONLY);
    opens("etc", "/etc/hosts", O_WRONLY);
    opens("in", "/in/written", O_CREAT | O_WRONLY);
    fill("tmp_bytes", "/tmp/full", 1LL << 30);
    fill("out_bytes", "/out/full", 1LL << 30);
    fill("shm_bytes", "/dev/shm/full", 1LL << 30);
    files("tmp_files", "/tmp", 100000);
    files("out_files", "/out", 100000);
    execute("tmp_execute", "/tmp/copy");
    execute("out_execute", "/out/copy");
    say_outcome("mount", mount("none", "/tmp", "tmpfs", 0, ""));
    say_outcome("unshare", unshare(CLONE_NEWUSER));
    say_outcome("setuid", setuid(0));
    say_outcome("chroot", chroot("/tmp"));
    say_outcome("mknod", mknod("/tmp/disk", S_IFBLK | 0600, makedev(8, 0)));
    say_outcome("keyctl", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
    say_outcome("bpf", syscall(SYS_bpf, 0, 0, 0));
    say_outcome("io_uring", syscall(SYS_io_uring_setup, 1, 0));
    say_outcome("userfaultfd", syscall(SYS_userfaultfd, 0));
    say_outcome("reboot", syscall(SYS_reboot, 0xfee1dead, 672274793, 0, 0));
    say_outcome("settime", clock_settime(CLOCK_REALTIME, &(struct timespec){1, 0}));
    say_outcome("module", syscall(SYS_init_module, chunk, 16L, ""));
    opens("core_pattern", "/proc/sys/kernel/core_pattern", O_WRONLY);
    opens("sysrq", "/proc/sysrq-trigger", O_WRONLY);
    opens("docker_socket", "/var/run/docker.sock", O_RDWR);
    reads("kcore", "/proc/kcore");
    reads("keys", "/proc/keys");
    reads("mem", "/dev/mem");
    struct rlimit core = {1, 1};
    getrlimit(RLIMIT_CORE, &core);
    say_number("core", core.rlim_max);
}

// Processes until there are no more; they wait, so that all of them live at once.
static void pids(void) {
    int count = 0;
    while (count < 100000) {
        pid_t child = fork();
        if (child == 0) pause();
        if (child < 0) break;
        count++;
    }
    say_number("pids", count + 1);
    kill(-1, SIGKILL);
}

static void memory(long long most) {
    for (long long bytes = 0; bytes < most; bytes += 1 << 20) {
        char *part = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (part == MAP_FAILED) break;
        memset(part, 1, 1 << 20);
    }
    say("memory", "kept");
}

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

// How much of one processor four children get together, in thousandths, over two seconds.
static void cpu(void) {
    for (int child = 0; child < 4; child++)
        if (fork() == 0) {
            for (double end = seconds(CLOCK_MONOTONIC) + 2; seconds(CLOCK_MONOTONIC) < end;) {}
            _exit(0);
        }
    double began = seconds(CLOCK_MONOTONIC);
    while (wait(0) > 0) {}
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    double busy = used.ru_utime.tv_sec + used.ru_stime.tv_sec +
                  (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    say_number("cpu", 1000 * busy / (seconds(CLOCK_MONOTONIC) - began));
}

int main(int count, char **args) {
    const char *role = count > 1 ? args[1] : "";
    if (!strcmp(role, "hold")) for (;;) pause();
    if (!strcmp(role, "spin")) {
        // Whoever ends it must not ask.
        for (int number = 1; number < 32; number++) signal(number, SIG_IGN);
        say("spin", "begun");
        for (;;) {}
    }
    if (!strcmp(role, "flood"))
        for (;;) if (write(1, chunk, CHUNK) < 0) return 3;
    if (!strcmp(role, "orphan")) {
        if (fork() == 0) for (setsid();;) pause();
        return 7;
    }
    if (!strcmp(role, "freeze")) {
        // Process 1 has the same user, so it can be stopped, and nobody is told of an end any more.
        say_outcome("freeze", ptrace(PTRACE_ATTACH, 1, 0, 0));
        return 0;
    }
    if (!strcmp(role, "facts")) facts();
    if (!strcmp(role, "pids")) pids();
    if (!strcmp(role, "memory")) memory(count > 2 ? atoll(args[2]) : 0);
    if (!strcmp(role, "cpu")) cpu();
    return 0;
}
