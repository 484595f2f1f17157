/* postgres.h - a PostgreSQL of our own in a scratch folder, at a free port of the loopback, with a password.
 *
 * It refuses to run as root, so under root it runs as the user that Debian's package has made. */
#ifndef TEST_SERVE_POSTGRES_H
#define TEST_SERVE_POSTGRES_H

#include "client.h"

#include <glob.h>
#include <pwd.h>

#define PG_SECRET "tr0ub4dor"

typedef struct postgres {
    pid_t pid;
    int port;
    char bin[100], dir[100];
    uid_t uid;
    gid_t gid;
} postgres;

/* NULL: it can be run. Otherwise why not. SEDGE_PG_BIN: the folder of its programs. */
static const char *postgres_missing(postgres *p)
{
    glob_t found = {0};

    *p = (postgres){.uid = getuid(), .gid = getgid()};
    if (system("ldd " SEDGE_BINARY " | grep -q libpq"))
        return "this build knows no PostgreSQL";
    if (getenv("SEDGE_PG_BIN")) {
        snprintf(p->bin, sizeof p->bin, "%s", getenv("SEDGE_PG_BIN"));
    } else if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) == 0) {
        snprintf(p->bin, sizeof p->bin, "%s", found.gl_pathv[found.gl_pathc - 1]);
        *strrchr(p->bin, '/') = 0;
        globfree(&found);
    } else {
        return "PostgreSQL is not installed (Debian: postgresql)";
    }
    if (p->uid == 0) {
        const struct passwd *user = getpwnam("postgres");

        if (!user)
            return "PostgreSQL does not run as root, and there is no user postgres";
        p->uid = user->pw_uid;
        p->gid = user->pw_gid;
    }
    return NULL;
}

/* Starts a program of PostgreSQL as its user. */
static pid_t postgres_run(const postgres *p, const char *command)
{
    const pid_t pid = fork();

    if (pid == 0) {
        char all[1000];

        snprintf(all, sizeof all, "cd %s && exec %s/%s >>log 2>&1", p->dir, p->bin, command);
        if (getuid() == 0 && (setgid(p->gid) || setuid(p->uid)))
            _exit(126);
        prctl(PR_SET_PDEATHSIG, SIGQUIT); /* a test that fails leaves nothing running */
        execl("/bin/sh", "sh", "-c", all, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static bool postgres_done(const postgres *p, const char *command)
{
    int status = -1;

    waitpid(postgres_run(p, command), &status, 0);
    return status == 0;
}

/* The first line that psql prints. */
static const char *postgres_ask(const postgres *p, const char *database, const char *format, ...)
{
    static char out[1000];
    char sql[600], command[1000];
    va_list args;
    FILE *f;
    size_t n = 0;

    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    snprintf(command, sizeof command,
             "PGPASSWORD=" PG_SECRET " %s/psql -qAt -h 127.0.0.1 -p %d -U sedge -d %s -c \"%s\" 2>&1", p->bin,
             p->port, database, sql);
    if ((f = popen(command, "r"))) {
        n = fread(out, 1, sizeof out - 1, f);
        pclose(f);
    }
    out[n] = 0;
    out[strcspn(out, "\n")] = 0;
    return out;
}

static bool postgres_start(postgres *p)
{
    char command[200];

    snprintf(command, sizeof command, "postgres -D data -p %d -k '' -c listen_addresses=127.0.0.1", p->port);
    p->pid = postgres_run(p, command);
    for (int ms = 0; ms < WAIT_MS; ms += 50) {
        if (strcmp(postgres_ask(p, "postgres", "SELECT 1"), "1") == 0)
            return true;
        sleep_ms(50);
    }
    return false;
}

/* how: SIGINT: connections are cut, everything is written; SIGQUIT: it stops as it would without power. */
static void postgres_stop(postgres *p, int how)
{
    if (p->pid > 0) {
        kill(p->pid, how);
        waitpid(p->pid, NULL, 0);
    }
    p->pid = 0;
}

static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (bind(fd, (struct sockaddr *)&a, size) || getsockname(fd, (struct sockaddr *)&a, &size))
        a.sin_port = 0;
    close(fd);
    return ntohs(a.sin_port);
}

static bool postgres_make(postgres *p)
{
    char file[150];
    FILE *f;

    snprintf(p->dir, sizeof p->dir, "%s/postgres", work);
    snprintf(file, sizeof file, "%s/password", p->dir);
    if (chmod(work, 0755) || mkdir(p->dir, 0700) || !(f = fopen(file, "w")))
        return false;
    fputs(PG_SECRET "\n", f);
    fclose(f);
    if (getuid() == 0 && (chown(p->dir, p->uid, p->gid) || chown(file, p->uid, p->gid)))
        return false;
    p->port = free_port();
    return postgres_done(
               p, "initdb -D data -U sedge -A scram-sha-256 --pwfile=password -E UTF8 --locale=C.UTF-8") &&
           postgres_start(p);
}

/* The address of a database, made when it is not there. */
static void postgres_where(const postgres *p, char *out, size_t size, const char *database)
{
    postgres_ask(p, "postgres", "CREATE DATABASE %s", database);
    snprintf(out, size, "postgresql://sedge:" PG_SECRET "@127.0.0.1:%d/%s", p->port, database);
}

#endif
