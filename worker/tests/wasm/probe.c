/* What a C program may expect of its host, asked through wasi-libc.
 *
 * Prints a line for every expectation that is not met and "N failed" at the end; the engine's tests
 * expect none. The rest of its output is golden: it must never change, on any machine. It is run
 * with one argument, two lines of standard input and the files /in/a.txt and /in/sub/b.
 *
 * Built by hand, with the compiler of deploy/apps/lucas-lehmer/build:
 *   python -m ziglang cc --target=wasm32-wasi -std=gnu11 -O1 -s -Wall -Wextra -Wl,-z,stack-size=65536 \
 *       probe.c -o probe.wasm
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int failed;

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: not so: %s (%s)\n", __LINE__, #condition, strerror(errno));           \
            failed++;                                                                              \
        }                                                                                          \
    } while (0)

/* The call fails with this errno. */
#define REFUSED(number, call) EXPECT((call) == -1 && errno == (number))

static void list(const char *path)
{
    DIR *folder = opendir(path);
    EXPECT(folder);
    if (!folder)
        return;
    printf("%s:", path);
    struct dirent *entry;
    while ((entry = readdir(folder)))
        printf(" %s %d,", entry->d_name, entry->d_type);
    printf("\n");
    closedir(folder);
}

static int count(DIR *folder)
{
    int n = 0;
    while (readdir(folder))
        n++;
    return n;
}

static void arguments_and_streams(int argc, char **argv)
{
    char line[100];
    for (int i = 0; i < argc; i++)
        printf("argument %s\n", argv[i]);
    EXPECT(!getenv("HOME") && !getenv("PATH"));
    EXPECT(!isatty(0) && !isatty(1) && !isatty(2));
    struct stat stat;
    EXPECT(fstat(1, &stat) == 0);
    EXPECT(fgets(line, sizeof line, stdin));
    printf("input %s", line);
    EXPECT(fgets(line, sizeof line, stdin) && !fgets(line, sizeof line, stdin) && feof(stdin));
    REFUSED(EBADF, write(0, "x", 1));
    REFUSED(EBADF, read(1, line, 1));
    REFUSED(ESPIPE, lseek(1, 0, SEEK_CUR));
    REFUSED(EBADF, close(77));
}

static void inputs(void)
{
    char line[100];
    FILE *file = fopen("/in/a.txt", "r");
    EXPECT(file && fgets(line, sizeof line, file));
    printf("file %s", line);
    if (file)
        fclose(file);
    list("/in");
    list("/in/sub");
    REFUSED(EROFS, open("/in/new", O_CREAT | O_WRONLY, 0666));
    REFUSED(EROFS, open("/in/a.txt", O_WRONLY));
    REFUSED(EROFS, open("/in/a.txt", O_RDWR));
    REFUSED(EROFS, unlink("/in/a.txt"));
    REFUSED(EROFS, mkdir("/in/new", 0777));
    REFUSED(EROFS, rename("/in/a.txt", "/in/b.txt"));
    REFUSED(ENOTCAPABLE, open("/in/../etc/passwd", O_RDONLY));
    EXPECT(open("/etc/passwd", O_RDONLY) == -1);
}

static void folders(void)
{
    struct stat stat_;
    EXPECT(mkdir("/out/d", 0777) == 0);
    REFUSED(EEXIST, mkdir("/out/d", 0777));
    FILE *file = fopen("/out/d/x", "w");
    EXPECT(file);
    fprintf(file, "hello %d\n", 42);
    fclose(file);
    file = fopen("/out/d/x", "a");
    fprintf(file, "more\n");
    fclose(file);
    file = fopen("/out/d/x", "r+");
    fseek(file, 6, SEEK_SET);
    fputs("43", file);
    fseek(file, 0, SEEK_END);
    EXPECT(ftell(file) == 14);
    fclose(file);
    EXPECT(stat("/out/d/x", &stat_) == 0 && stat_.st_size == 14 && S_ISREG(stat_.st_mode));
    EXPECT(stat_.st_mtime == 0 && stat_.st_nlink == 1);
    EXPECT(stat("/out/d", &stat_) == 0 && S_ISDIR(stat_.st_mode));
    EXPECT(rename("/out/d/x", "/out/d/y") == 0);
    REFUSED(ENOENT, access("/out/d/x", F_OK));
    EXPECT(rename("/out/d", "/out/e") == 0);
    list("/out");
    list("/out/e");
    REFUSED(EXDEV, rename("/out/e", "/tmp/e"));
    REFUSED(EINVAL, rename("/out/e", "/out/e/f"));
    REFUSED(ENOTEMPTY, rmdir("/out/e"));
    REFUSED(ENOTDIR, rmdir("/out/e/y"));
    REFUSED(EISDIR, unlink("/out/e"));
    REFUSED(EISDIR, open("/out/e", O_WRONLY));
    REFUSED(ENOTDIR, open("/out/e/y", O_RDONLY | O_DIRECTORY));
    REFUSED(EEXIST, open("/out/e/y", O_CREAT | O_EXCL | O_WRONLY, 0666));
    REFUSED(EINVAL, readlink("/out/e/y", (char[9]){0}, 9));
    EXPECT(symlink("a", "/tmp/link") == -1 && link("/out/e/y", "/out/link") == -1);
    EXPECT(chdir("/out/e") == 0);
    file = fopen("relative", "w");
    EXPECT(file && fputs("relative", file) >= 0 && fclose(file) == 0);
    EXPECT(access("/out/e/relative", F_OK) == 0);
}

static void remove_all(const char *path)
{
    char child[300];
    DIR *folder = opendir(path);
    EXPECT(folder);
    struct dirent *entry;
    while ((entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        EXPECT(unlink(child) == 0);
    }
    closedir(folder);
    EXPECT(rmdir(path) == 0);
}

/* More names than one buffer holds; removed while they are listed. */
static void large_folder(void)
{
    char path[100];
    EXPECT(mkdir("/tmp/large", 0777) == 0);
    for (int i = 0; i < 500; i++) {
        snprintf(path, sizeof path, "/tmp/large/file-number-%d", i);
        int fd = open(path, O_CREAT | O_WRONLY, 0666);
        EXPECT(fd >= 0 && close(fd) == 0);
    }
    DIR *folder = opendir("/tmp/large");
    EXPECT(folder && count(folder) == 502);
    rewinddir(folder);
    EXPECT(count(folder) == 502);
    closedir(folder);
    remove_all("/tmp/large");
    REFUSED(ENOENT, access("/tmp/large", F_OK));
}

static void offsets(void)
{
    char bytes[20];
    struct stat stat;
    int fd = open("/tmp/nameless", O_CREAT | O_RDWR, 0666);
    EXPECT(fd >= 0 && unlink("/tmp/nameless") == 0);
    EXPECT(write(fd, "gone", 4) == 4 && lseek(fd, 0, SEEK_CUR) == 4);
    EXPECT(pread(fd, bytes, 20, 1) == 3 && memcmp(bytes, "one", 3) == 0);
    EXPECT(lseek(fd, 0, SEEK_CUR) == 4 && read(fd, bytes, 20) == 0);
    EXPECT(posix_fallocate(fd, 0, 100) == 0 && fstat(fd, &stat) == 0 && stat.st_size == 100);
    EXPECT(ftruncate(fd, 1) == 0 && pwrite(fd, "z", 1, 3) == 1);
    EXPECT(pread(fd, bytes, 20, 0) == 4 && memcmp(bytes, "g\0\0z", 4) == 0);
    EXPECT(lseek(fd, 2, SEEK_END) == 6 && write(fd, "!", 1) == 1 && lseek(fd, -1, SEEK_CUR) == 6);
    REFUSED(EINVAL, lseek(fd, -7, SEEK_CUR));
    EXPECT(fsync(fd) == 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
    EXPECT(close(fd) == 0);
    REFUSED(EBADF, read(fd, bytes, 1));
    fd = open("/out/e/y", O_RDONLY);
    REFUSED(EBADF, write(fd, "x", 1));
    EXPECT((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY && close(fd) == 0);
}

static void scattered(void)
{
    char first[3], second[9];
    struct iovec out[] = {{"ab", 2}, {"", 0}, {"cd", 2}};
    struct iovec in[] = {{first, 3}, {second, 9}};
    int fd = open("/tmp/scattered", O_CREAT | O_RDWR | O_APPEND, 0666);
    EXPECT(writev(fd, out, 3) == 4 && lseek(fd, 0, SEEK_SET) == 0);
    EXPECT(readv(fd, in, 2) == 4 && memcmp(first, "abc", 3) == 0 && second[0] == 'd');
    EXPECT(lseek(fd, 1, SEEK_SET) == 1 && write(fd, "e", 1) == 1 && lseek(fd, 0, SEEK_CUR) == 5);
    EXPECT(close(fd) == 0);
}

static long long nanoseconds(clockid_t clock)
{
    struct timespec now;
    EXPECT(clock_gettime(clock, &now) == 0);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void time_and_chance(void)
{
    printf("time %lld\n", nanoseconds(CLOCK_REALTIME));
    long long before = nanoseconds(CLOCK_MONOTONIC);
    EXPECT(sleep(3600) == 0);
    printf("slept %lld\n", nanoseconds(CLOCK_MONOTONIC) - before);
    struct pollfd ready = {0, POLLIN, 0};
    EXPECT(poll(&ready, 1, 1000) == 1 && ready.revents & POLLIN);
    unsigned random;
    EXPECT(getentropy(&random, sizeof random) == 0);
    printf("random %08x\n", random);
    void *memory = malloc(1 << 20);
    EXPECT(memory);
    free(memory);
}

int main(int argc, char **argv)
{
    arguments_and_streams(argc, argv);
    inputs();
    folders();
    large_folder();
    offsets();
    scattered();
    time_and_chance();
    fprintf(stderr, "for a person to read\n");
    printf("%d failed\n", failed);
    return failed != 0;
}
