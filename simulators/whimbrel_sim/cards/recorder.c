/*
 * A preload library that writes down, and disturbs, what this process does to files under watched
 * folders. See README.md beside this file for the format of the log and for what is not seen.
 *
 * A watched folder has a lock that is held over an operation and its record: the log's order is
 * the order in which the calls returned. While nothing is watched each call costs one load.
 * Files are named by numbers of ours, since names move and inode numbers come again.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind {
    OPEN = 1, WRITE, TRUNCATE, ALLOCATE, SYNC, SYNC_DIR, RENAME, UNLINK, MKDIR, RMDIR, LINK,
    MARK, INDEX, READ /* faults only */
};
enum flag { CREATED = 1, EMPTIED = 2, FAILED = 4, LIED = 8 };
enum action { FAIL = 0, SHORTEN = 1, FLIP = 2, LIE = 3 };

enum {
    MAX_FDS = 1 << 16,
    MAX_RULES = 8,
    MAX_INDEXES = 8, /* of logs, open at once in one folder */
    INDEX_HEAD = 136, /* both copies of the header of a log's index, and its checkpoint's state */
    TAIL = 24,        /* kept of a file's name: faults may ask for its ending */
};

struct record {
    uint32_t size;      /* of all of it, path and data included */
    uint16_t kind, flags;
    uint32_t path_size; /* a rename's is two paths with a zero between */
    uint32_t error;     /* errno of a failed sync */
    uint64_t sequence, file, offset, length;
};

struct rule {
    uint32_t kinds;   /* one bit each */
    int32_t skip;     /* so many matches pass first */
    int32_t times;    /* then so many are hit; negative: every one */
    int32_t action, error;
    char ending[TAIL];
};

struct inode { uint64_t dev, ino, file; struct inode *next; };

struct folder {
    char *path;
    size_t length;
    int log;
    uint64_t sequence, files, hits, operations[16], chance;
    struct rule rules[MAX_RULES];
    struct inode *inodes[64];
    pthread_mutex_t lock;
    struct folder *next;
    struct index { int fd; uint64_t file; unsigned char head[INDEX_HEAD]; } indexes[MAX_INDEXES];
    int watched;
};

struct entry { struct folder *folder; uint64_t file; char *path; int is_dir, is_index; };

static struct entry *fds[MAX_FDS];
static struct folder *table[1024];
static int watching; /* how many folders are */
static pid_t owner;
static pthread_mutex_t tables = PTHREAD_MUTEX_INITIALIZER;

#define REAL(result, name, ...) \
    static result (*real_##name)(__VA_ARGS__); \
    if (!real_##name) real_##name = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static ssize_t raw_pread(int fd, void *data, size_t size, off_t at) {
    REAL(ssize_t, pread64, int, void *, size_t, off_t);
    return real_pread64(fd, data, size, at);
}

static int raw_close(int fd) {
    REAL(int, close, int);
    return real_close(fd);
}

static void append(int log, struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    size_t size = 0;
    for (int i = 0; i < count; i++) size += parts[i].iov_len;
    /* a log that has lost a record is worse than no run at all */
    if (real_writev(log, parts, count) != (ssize_t)size) abort();
}

/* ---- folders and paths */

static unsigned hash(const char *text, size_t length) {
    unsigned sum = 5381;
    for (size_t i = 0; i < length; i++) sum = sum * 33 + (unsigned char)text[i];
    return sum % 1024;
}

static struct folder *find(const char *path, size_t length) {
    struct folder *folder = table[hash(path, length)];
    while (folder && !(folder->length == length && !memcmp(folder->path, path, length)))
        folder = folder->next;
    return folder;
}

/* Makes a path absolute and plain, without following links: watched folders are given so. */
static int plain(int at, const char *path, char *out) {
    char whole[2 * PATH_MAX];
    size_t used = 0;
    if (path[0] != '/') {
        if (at == AT_FDCWD) {
            if (!getcwd(whole, PATH_MAX)) return 0;
        } else {
            char link[32] = "/proc/self/fd/", digits[12];
            int count = 0, place = 14;
            for (int rest = at; rest || !count; rest /= 10) digits[count++] = (char)('0' + rest % 10);
            while (count) link[place++] = digits[--count];
            link[place] = 0;
            ssize_t got = readlink(link, whole, PATH_MAX - 1);
            if (got <= 0) return 0;
            whole[got] = 0;
        }
        used = strlen(whole);
        whole[used++] = '/';
    }
    if (used + strlen(path) >= sizeof whole) return 0;
    strcpy(whole + used, path);
    size_t end = 0;
    for (char *part = whole; *part;) {
        while (*part == '/') part++;
        size_t length = strcspn(part, "/");
        if (length == 2 && part[0] == '.' && part[1] == '.') {
            while (end && out[--end] != '/') {}
        } else if (length && !(length == 1 && part[0] == '.')) {
            if (end + length + 2 > PATH_MAX) return 0;
            out[end++] = '/';
            memcpy(out + end, part, length);
            end += length;
        }
        part += length;
    }
    out[end] = 0;
    return 1;
}

/* The watched folder that a path lies in (or is), with the path inside of it; locked. */
static struct folder *enter(int at, const char *path, char *whole, const char **inside) {
    if (!__atomic_load_n(&watching, __ATOMIC_ACQUIRE) || !path || getpid() != owner) return NULL;
    if (!plain(at, path, whole)) return NULL;
    pthread_mutex_lock(&tables);
    struct folder *folder = NULL;
    size_t length = strlen(whole);
    while (length && !(folder = find(whole, length)))
        while (length && whole[--length] != '/') {}
    pthread_mutex_unlock(&tables);
    if (!folder) return NULL;
    pthread_mutex_lock(&folder->lock);
    if (!folder->watched) {
        pthread_mutex_unlock(&folder->lock);
        return NULL;
    }
    *inside = whole[length] ? whole + length + 1 : "";
    return folder;
}

/* The folder of an open file; locked. */
static struct folder *enter_fd(int fd, struct entry **entry) {
    if (!__atomic_load_n(&watching, __ATOMIC_ACQUIRE) || fd < 0 || fd >= MAX_FDS) return NULL;
    *entry = __atomic_load_n(&fds[fd], __ATOMIC_ACQUIRE);
    if (!*entry || getpid() != owner) return NULL; /* a vforked child shares our memory */
    struct folder *folder = (*entry)->folder;
    pthread_mutex_lock(&folder->lock);
    if (!folder->watched) {
        pthread_mutex_unlock(&folder->lock);
        return NULL;
    }
    return folder;
}

static void leave(struct folder *folder) {
    int kept = errno;
    pthread_mutex_unlock(&folder->lock);
    errno = kept;
}

/* ---- the log */

static void put(struct folder *folder, struct record head, const char *path, size_t path_size,
                const void *data, size_t size) {
    head.size = (uint32_t)(sizeof head + path_size + size);
    head.path_size = (uint32_t)path_size;
    head.sequence = ++folder->sequence;
    struct iovec parts[] = {{&head, sizeof head}, {(void *)path, path_size}, {(void *)data, size}};
    append(folder->log, parts, 3);
}

/* SQLite changes the log's index through shared memory: what it says now is looked up. */
static void look_at_indexes(struct folder *folder) {
    for (int i = 0; i < MAX_INDEXES; i++) {
        struct index *index = &folder->indexes[i];
        unsigned char head[INDEX_HEAD];
        if (!index->file || raw_pread(index->fd, head, sizeof head, 0) != sizeof head) continue;
        if (!memcmp(head, index->head, sizeof head)) continue;
        memcpy(index->head, head, sizeof head);
        struct record record = {.kind = INDEX, .file = index->file};
        put(folder, record, NULL, 0, head, sizeof head);
    }
}

static void keep_index(struct folder *folder, int fd, uint64_t file) {
    for (int i = 0; i < MAX_INDEXES; i++)
        if (!folder->indexes[i].file) {
            folder->indexes[i] = (struct index){.fd = fd, .file = file};
            return;
        }
}

static void note(struct folder *folder, struct record head, const char *path, size_t path_size,
                 const void *data, size_t size) {
    int kept = errno;
    put(folder, head, path, path_size, data, size);
    errno = kept;
}

/* ---- faults */

static struct rule *strike(struct folder *folder, enum kind kind, const char *path) {
    look_at_indexes(folder);
    folder->operations[kind]++;
    for (int i = 0; i < MAX_RULES; i++) {
        struct rule *rule = &folder->rules[i];
        size_t tail = strlen(rule->ending), length = path ? strlen(path) : 0;
        if (!(rule->kinds >> kind & 1) || !rule->times) continue;
        if (tail && (length < tail || strcmp(path + length - tail, rule->ending))) continue;
        if (rule->skip > 0) {
            rule->skip--;
            continue;
        }
        if (rule->times > 0) rule->times--;
        folder->hits++;
        return rule;
    }
    return NULL;
}

static int fails(struct rule *rule) {
    if (!rule || rule->action != FAIL) return 0;
    errno = rule->error;
    return 1;
}

static size_t shorter(struct rule *rule, size_t size) {
    return rule && rule->action == SHORTEN && size > 1 ? size / 2 : size;
}

static void flip(struct folder *folder, struct rule *rule, void *data, ssize_t size) {
    if (!rule || rule->action != FLIP || size <= 0) return;
    folder->chance = folder->chance * 6364136223846793005u + 1442695040888963407u;
    uint64_t bit = (folder->chance >> 20) % ((uint64_t)size * 8);
    ((unsigned char *)data)[bit / 8] ^= (unsigned char)(1 << bit % 8);
}

/* ---- open files */

static uint64_t file_of(struct folder *folder, int fd, int created) {
    struct stat facts;
    if (fstat(fd, &facts)) return 0;
    struct inode **slot = &folder->inodes[facts.st_ino % 64];
    for (struct inode *one = *slot; one; one = one->next)
        if (one->ino == facts.st_ino && one->dev == facts.st_dev) {
            if (created) one->file = ++folder->files; /* the number came again */
            return one->file;
        }
    struct inode *one = malloc(sizeof *one);
    *one = (struct inode){facts.st_dev, facts.st_ino, ++folder->files, *slot};
    *slot = one;
    return one->file;
}

static void forget(int fd) {
    if (fd < 0 || fd >= MAX_FDS) return;
    struct entry *entry = __atomic_exchange_n(&fds[fd], NULL, __ATOMIC_ACQ_REL);
    if (!entry) return;
    struct folder *folder = entry->folder;
    pthread_mutex_lock(&folder->lock);
    for (int i = 0; i < MAX_INDEXES; i++)
        if (folder->indexes[i].fd == fd) folder->indexes[i].file = 0;
    pthread_mutex_unlock(&folder->lock);
    free(entry->path);
    free(entry);
}

static void keep(int fd, struct entry entry) {
    if (fd < 0 || fd >= MAX_FDS) return;
    struct entry *kept = malloc(sizeof *kept);
    *kept = entry;
    kept->path = strdup(entry.path);
    struct entry *old = __atomic_exchange_n(&fds[fd], kept, __ATOMIC_ACQ_REL);
    if (old) {
        free(old->path);
        free(old);
    }
}

static int opened(struct folder *folder, int fd, const char *inside, int flags, int existed) {
    struct stat facts;
    size_t length = strlen(inside);
    if (fstat(fd, &facts)) return fd;
    struct entry entry = {.folder = folder, .path = (char *)inside, .is_dir = S_ISDIR(facts.st_mode)};
    if (!entry.is_dir) {
        int created = !existed && flags & O_CREAT;
        int emptied = existed && flags & O_TRUNC && (flags & O_ACCMODE) != O_RDONLY;
        entry.is_index = length > 4 && !strcmp(inside + length - 4, "-shm");
        entry.file = file_of(folder, fd, created);
        struct record head = {
            .kind = OPEN, .file = entry.file,
            .flags = (uint16_t)((created ? CREATED : 0) | (emptied ? EMPTIED : 0)),
        };
        note(folder, head, inside, length, NULL, 0);
        if (entry.is_index) keep_index(folder, fd, entry.file);
    }
    keep(fd, entry);
    return fd;
}

static int open_any(int at, const char *path, int flags, mode_t mode) {
    REAL(int, openat64, int, const char *, int, ...);
    char whole[PATH_MAX];
    const char *inside;
    struct folder *folder = enter(at, path, whole, &inside);
    if (!folder) return real_openat64(at, path, flags, mode);
    struct stat facts;
    int fd = -1, existed = fstatat(at, path, &facts, 0) == 0;
    if (!fails(strike(folder, OPEN, inside))) fd = real_openat64(at, path, flags, mode);
    if (fd >= 0 && !(flags & O_PATH) && (flags & O_TMPFILE) != O_TMPFILE)
        opened(folder, fd, inside, flags, existed);
    leave(folder);
    return fd;
}

#define MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) { MODE(flags, mode) return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, mode) return open_any(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags, mode) return open_any(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags, mode) return open_any(at, path, flags, mode); }
int __open_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __openat_2(int at, const char *path, int flags) { return open_any(at, path, flags, 0); }
int __openat64_2(int at, const char *path, int flags) { return open_any(at, path, flags, 0); }
int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
    if (fd >= 0 && fd < MAX_FDS && __atomic_load_n(&fds[fd], __ATOMIC_ACQUIRE) && getpid() == owner)
        forget(fd);
    return raw_close(fd);
}

static int copied(int fd, int copy) {
    struct entry *entry;
    struct folder *folder = copy < 0 || copy == fd ? NULL : enter_fd(fd, &entry);
    if (folder) {
        keep(copy, *entry);
        leave(folder);
    }
    return copy;
}

int dup(int fd) {
    REAL(int, dup, int);
    return copied(fd, real_dup(fd));
}

int dup2(int fd, int to) {
    REAL(int, dup2, int, int);
    if (fd != to && getpid() == owner) forget(to);
    return copied(fd, real_dup2(fd, to));
}

int dup3(int fd, int to, int flags) {
    REAL(int, dup3, int, int, int);
    if (getpid() == owner) forget(to);
    return copied(fd, real_dup3(fd, to, flags));
}

#define CONTROL(name) \
    int name(int fd, int command, ...) { \
        REAL(int, name, int, int, ...); \
        va_list rest; \
        va_start(rest, command); \
        void *argument = va_arg(rest, void *); \
        va_end(rest); \
        int result = real_##name(fd, command, argument); \
        return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, result) : result; \
    }
CONTROL(fcntl)
CONTROL(fcntl64)

/* ---- data */

static void wrote(struct folder *folder, struct entry *entry, const void *data, ssize_t size, off_t at) {
    struct record head = {.kind = WRITE, .file = entry->file, .offset = (uint64_t)at};
    if (size > 0 && !entry->is_index) note(folder, head, NULL, 0, data, (size_t)size);
}

static ssize_t write_at(int fd, const void *data, size_t size, off_t at) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off_t);
    struct entry *entry;
    struct folder *folder = enter_fd(fd, &entry);
    if (!folder) return real_pwrite64(fd, data, size, at);
    struct rule *rule = strike(folder, WRITE, entry->path);
    ssize_t done = -1;
    if (!fails(rule)) done = real_pwrite64(fd, data, shorter(rule, size), at);
    wrote(folder, entry, data, done, at);
    leave(folder);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return write_at(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { return write_at(fd, data, size, at); }

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    struct entry *entry;
    struct folder *folder = enter_fd(fd, &entry);
    if (!folder) return real_write(fd, data, size);
    struct rule *rule = strike(folder, WRITE, entry->path);
    ssize_t done = -1;
    if (!fails(rule)) done = real_write(fd, data, shorter(rule, size));
    if (done > 0) wrote(folder, entry, data, done, lseek(fd, 0, SEEK_CUR) - done);
    leave(folder);
    return done;
}

/* Several buffers at once are written as one: a short answer is allowed anywhere. */
static ssize_t gather(int fd, const struct iovec *parts, int count, off_t at) {
    size_t size = 0, used = 0;
    for (int i = 0; i < count; i++) size += parts[i].iov_len;
    char *joined = malloc(size ? size : 1);
    for (int i = 0; i < count; used += parts[i++].iov_len)
        memcpy(joined + used, parts[i].iov_base, parts[i].iov_len);
    ssize_t done = at < 0 ? write(fd, joined, size) : write_at(fd, joined, size, at);
    free(joined);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    struct entry *entry;
    struct folder *folder = enter_fd(fd, &entry);
    if (!folder) return real_writev(fd, parts, count);
    leave(folder);
    return gather(fd, parts, count, -1);
}

#define PWRITEV(name, parameters, ...) \
    ssize_t name parameters { \
        static ssize_t (*real) parameters; \
        if (!real) real = (ssize_t (*) parameters)dlsym(RTLD_NEXT, #name); \
        struct entry *entry; \
        struct folder *folder = enter_fd(fd, &entry); \
        if (!folder) return real(__VA_ARGS__); \
        leave(folder); \
        return gather(fd, parts, count, at); \
    }
PWRITEV(pwritev, (int fd, const struct iovec *parts, int count, off_t at), fd, parts, count, at)
PWRITEV(pwritev64, (int fd, const struct iovec *parts, int count, off_t at), fd, parts, count, at)
PWRITEV(pwritev2, (int fd, const struct iovec *parts, int count, off_t at, int flags), fd, parts, count, at, flags)
PWRITEV(pwritev64v2, (int fd, const struct iovec *parts, int count, off_t at, int flags), fd, parts, count, at, flags)

/* The kernel copies: into a watched file it is told that it cannot, and callers then write. */
#define COPY(result, name, parameters, out, fault, ...) \
    result name parameters { \
        static result (*real) parameters; \
        if (!real) real = (result (*) parameters)dlsym(RTLD_NEXT, #name); \
        struct entry *entry; \
        struct folder *folder = enter_fd(out, &entry); \
        if (!folder) return real(__VA_ARGS__); \
        leave(folder); \
        errno = fault; \
        return -1; \
    }
COPY(ssize_t, sendfile, (int out, int in, off_t *at, size_t size), out, ENOTSOCK, out, in, at, size)
COPY(ssize_t, sendfile64, (int out, int in, off_t *at, size_t size), out, ENOTSOCK, out, in, at, size)
COPY(ssize_t, copy_file_range,
     (int in, off_t *from, int out, off_t *to, size_t size, unsigned flags),
     out, EXDEV, in, from, out, to, size, flags)

#define READING(name, parameters, size, ...) \
    ssize_t name parameters { \
        static ssize_t (*real) parameters; \
        if (!real) real = (ssize_t (*) parameters)dlsym(RTLD_NEXT, #name); \
        struct entry *entry; \
        struct folder *folder = enter_fd(fd, &entry); \
        if (!folder) return real(__VA_ARGS__); \
        struct rule *rule = strike(folder, READ, entry->path); \
        ssize_t done = fails(rule) ? -1 : real(__VA_ARGS__); \
        flip(folder, rule, data, done); \
        leave(folder); \
        return done; \
    }
READING(read, (int fd, void *data, size_t size), size, fd, data, size)
READING(pread, (int fd, void *data, size_t size, off_t at), size, fd, data, size, at)
READING(pread64, (int fd, void *data, size_t size, off_t at), size, fd, data, size, at)
READING(__read_chk, (int fd, void *data, size_t size, size_t room), size, fd, data, size, room)
READING(__pread_chk, (int fd, void *data, size_t size, off_t at, size_t room), size, fd, data, size, at, room)
READING(__pread64_chk, (int fd, void *data, size_t size, off_t at, size_t room), size, fd, data, size, at, room)

/* ---- sizes and syncs; one shape: fault, call, record when it went well */

#define ON_FILE(result, name, parameters, kind_, record_, failed_, ...) \
    result name parameters { \
        static result (*real) parameters; \
        if (!real) real = (result (*) parameters)dlsym(RTLD_NEXT, #name); \
        struct entry *entry; \
        struct folder *folder = enter_fd(fd, &entry); \
        if (!folder) return real(__VA_ARGS__); \
        struct rule *rule = strike(folder, kind_, entry->path); \
        result done = fails(rule) ? failed_ : real(__VA_ARGS__); \
        struct record head = record_; \
        if (done == 0 && !entry->is_index) note(folder, head, NULL, 0, NULL, 0); \
        leave(folder); \
        return done; \
    }
#define LENGTH(size) {.kind = TRUNCATE, .file = entry->file, .length = (uint64_t)(size)}
/* `flags` of a record of fallocate: nonzero where the size stays (or a hole is made: not used) */
#define ROOM(from, size) {.kind = ALLOCATE, .file = entry->file, .offset = (uint64_t)(from), .length = (uint64_t)(size)}
#define PLAIN(...) __VA_ARGS__
ON_FILE(int, ftruncate, (int fd, off_t size), TRUNCATE, PLAIN(LENGTH(size)), -1, fd, size)
ON_FILE(int, ftruncate64, (int fd, off_t size), TRUNCATE, PLAIN(LENGTH(size)), -1, fd, size)
ON_FILE(int, posix_fallocate, (int fd, off_t from, off_t size), ALLOCATE, PLAIN(ROOM(from, size)), errno, fd, from, size)
ON_FILE(int, posix_fallocate64, (int fd, off_t from, off_t size), ALLOCATE, PLAIN(ROOM(from, size)), errno, fd, from, size)
ON_FILE(int, fallocate, (int fd, int mode, off_t from, off_t size), ALLOCATE, PLAIN(ROOM(from, mode ? 0 : size)), -1, fd, mode, from, size)
ON_FILE(int, fallocate64, (int fd, int mode, off_t from, off_t size), ALLOCATE, PLAIN(ROOM(from, mode ? 0 : size)), -1, fd, mode, from, size)

static int sync_with(int fd, int (*real)(int)) {
    struct entry *entry;
    struct folder *folder = enter_fd(fd, &entry);
    if (!folder) return real(fd);
    enum kind kind = entry->is_dir ? SYNC_DIR : SYNC;
    struct rule *rule = strike(folder, kind, entry->path);
    int done = fails(rule) ? -1 : real(fd);
    struct record head = {.kind = kind, .file = entry->file};
    if (done) head.flags = FAILED, head.error = (uint32_t)errno;
    else if (rule && rule->action == LIE) head.flags = LIED;
    note(folder, head, entry->is_dir ? entry->path : NULL, entry->is_dir ? strlen(entry->path) : 0, NULL, 0);
    leave(folder);
    return done;
}

int fsync(int fd) {
    REAL(int, fsync, int);
    return sync_with(fd, real_fsync);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return sync_with(fd, real_fdatasync);
}

/* ---- names; what goes out of a watched folder, or comes into one, is not expected */

static int renamed(int at, const char *from, int to_at, const char *to, enum kind kind, int result_of(int, const char *, int, const char *)) {
    char whole[PATH_MAX], other[PATH_MAX], both[2 * PATH_MAX];
    const char *inside;
    struct folder *folder = enter(at, from, whole, &inside);
    if (!folder) return result_of(at, from, to_at, to);
    int done = -1;
    if (!fails(strike(folder, kind, inside))) done = result_of(at, from, to_at, to);
    if (!done && plain(to_at, to, other) && !strncmp(other, folder->path, folder->length)) {
        size_t first = strlen(inside) + 1, second = strlen(other + folder->length + 1);
        memcpy(both, inside, first);
        memcpy(both + first, other + folder->length + 1, second);
        note(folder, (struct record){.kind = kind}, both, first + second, NULL, 0);
    }
    leave(folder);
    return done;
}

static int real_rename_of(int at, const char *from, int to_at, const char *to) {
    REAL(int, renameat, int, const char *, int, const char *);
    return real_renameat(at, from, to_at, to);
}

static int real_link_of(int at, const char *from, int to_at, const char *to) {
    REAL(int, linkat, int, const char *, int, const char *, int);
    return real_linkat(at, from, to_at, to, 0);
}

int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, RENAME, real_rename_of); }
int renameat(int at, const char *from, int to_at, const char *to) { return renamed(at, from, to_at, to, RENAME, real_rename_of); }
int link(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, LINK, real_link_of); }
int linkat(int at, const char *from, int to_at, const char *to, int flags) {
    (void)flags;
    return renamed(at, from, to_at, to, LINK, real_link_of);
}

#define ON_NAME(name, parameters, at, kind_, record_, ...) \
    int name parameters { \
        static int (*real) parameters; \
        if (!real) real = (int (*) parameters)dlsym(RTLD_NEXT, #name); \
        char whole[PATH_MAX]; \
        const char *inside; \
        struct folder *folder = enter(at, path, whole, &inside); \
        if (!folder) return real(__VA_ARGS__); \
        int done = fails(strike(folder, kind_, inside)) ? -1 : real(__VA_ARGS__); \
        struct record head = record_; \
        if (!done) note(folder, head, inside, strlen(inside), NULL, 0); \
        leave(folder); \
        return done; \
    }
ON_NAME(unlink, (const char *path), AT_FDCWD, UNLINK, {.kind = UNLINK}, path)
ON_NAME(unlinkat, (int at, const char *path, int flags), at, flags & AT_REMOVEDIR ? RMDIR : UNLINK, PLAIN({.kind = flags & AT_REMOVEDIR ? RMDIR : UNLINK}), at, path, flags)
ON_NAME(mkdir, (const char *path, mode_t mode), AT_FDCWD, MKDIR, {.kind = MKDIR}, path, mode)
ON_NAME(mkdirat, (int at, const char *path, mode_t mode), at, MKDIR, {.kind = MKDIR}, at, path, mode)
ON_NAME(rmdir, (const char *path), AT_FDCWD, RMDIR, {.kind = RMDIR}, path)
ON_NAME(truncate, (const char *path, off_t size), AT_FDCWD, TRUNCATE, PLAIN({.kind = TRUNCATE, .length = (uint64_t)size}), path, size)
ON_NAME(truncate64, (const char *path, off_t size), AT_FDCWD, TRUNCATE, PLAIN({.kind = TRUNCATE, .length = (uint64_t)size}), path, size)

/* ---- what Python calls; each answers 0, or -1 with errno */

static struct folder *named(const char *path) {
    pthread_mutex_lock(&tables);
    struct folder *folder = find(path, strlen(path));
    pthread_mutex_unlock(&tables);
    if (!folder || !folder->watched) {
        errno = ENOENT;
        return NULL;
    }
    pthread_mutex_lock(&folder->lock);
    return folder;
}

int wb_watch(const char *path, const char *log_path) {
    char whole[PATH_MAX];
    if (!plain(AT_FDCWD, path, whole)) return errno = ENAMETOOLONG, -1;
    REAL(int, openat64, int, const char *, int, ...);
    int log = real_openat64(AT_FDCWD, log_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0) return -1;
    pthread_mutex_lock(&tables);
    struct folder *folder = find(whole, strlen(whole));
    if (folder && folder->watched) {
        pthread_mutex_unlock(&tables);
        raw_close(log);
        return errno = EEXIST, -1;
    }
    if (!folder) {
        folder = calloc(1, sizeof *folder);
        folder->path = strdup(whole);
        folder->length = strlen(whole);
        pthread_mutex_init(&folder->lock, NULL);
        folder->next = table[hash(whole, folder->length)];
        __atomic_store_n(&table[hash(whole, folder->length)], folder, __ATOMIC_RELEASE);
    }
    memset(folder->rules, 0, sizeof folder->rules);
    memset(folder->operations, 0, sizeof folder->operations);
    memset(folder->indexes, 0, sizeof folder->indexes);
    folder->log = log;
    folder->sequence = folder->hits = 0;
    folder->chance = 1;
    folder->watched = 1;
    owner = getpid();
    __atomic_add_fetch(&watching, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&tables);
    return 0;
}

/* A folder's place in the table stays: open files may still name it, and it may come again. */
int wb_unwatch(const char *path) {
    struct folder *folder = named(path);
    if (!folder) return -1;
    folder->watched = 0;
    raw_close(folder->log);
    __atomic_sub_fetch(&watching, 1, __ATOMIC_RELEASE);
    leave(folder);
    return 0;
}

int wb_mark(const char *path, const void *data, size_t size) {
    struct folder *folder = named(path);
    if (!folder) return -1;
    look_at_indexes(folder);
    note(folder, (struct record){.kind = MARK}, NULL, 0, data, size);
    leave(folder);
    return 0;
}

/* Empties a log of which `read` bytes were read; EAGAIN when there are more by now. */
int wb_empty_log(const char *path, uint64_t read) {
    struct folder *folder = named(path);
    struct stat facts;
    REAL(int, ftruncate64, int, off_t);
    if (!folder) return -1;
    int done = fstat(folder->log, &facts);
    if (!done && (uint64_t)facts.st_size != read) errno = EAGAIN, done = -1;
    if (!done) done = real_ftruncate64(folder->log, 0);
    leave(folder);
    return done;
}

int wb_fault(const char *path, uint32_t kinds, int skip, int times, int action, int error, const char *ending, uint64_t seed) {
    struct folder *folder = named(path);
    if (!folder) return -1;
    int done = -1;
    for (int i = 0; done && i < MAX_RULES; i++)
        if (!folder->rules[i].times) {
            struct rule rule = {.kinds = kinds, .skip = skip, .times = times, .action = action, .error = error};
            strncpy(rule.ending, ending, TAIL - 1);
            folder->rules[i] = rule;
            folder->chance = seed | 1;
            done = 0;
        }
    if (done) errno = ENOSPC;
    leave(folder);
    return done;
}

int wb_clear(const char *path) {
    struct folder *folder = named(path);
    if (!folder) return -1;
    memset(folder->rules, 0, sizeof folder->rules);
    leave(folder);
    return 0;
}

/* How many operations faults have hit (`kind` 0), or how many of a kind there were; -1: none such. */
int64_t wb_count(const char *path, int kind) {
    struct folder *folder = named(path);
    if (!folder) return -1;
    int64_t count = (int64_t)(kind ? folder->operations[kind & 15] : folder->hits);
    leave(folder);
    return count;
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("WHIMBREL_CARD_FOLDER"), *log = getenv("WHIMBREL_CARD_LOG");
    owner = getpid();
    if (folder && log && *folder && wb_watch(folder, log)) abort();
}
