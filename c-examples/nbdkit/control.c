#include "control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "commands.h"
#include "log.h"
#include "state.h"

struct client {
    struct control *control;
    int socket;     // -1: the place is free
    char line[CONTROL_LINE_BYTES];
    size_t bytes;   // of it that are filled
};

struct control {
    struct array *array;
    int socket;
    char path[sizeof ((struct sockaddr_un *)0)->sun_path];
    pthread_t thread;
    bool serves;                    // the thread runs
    pthread_mutex_t mutex;          // guards the sockets of clients, and `clients`
    pthread_cond_t client_left;
    uint32_t clients;
    bool stopping;
    struct client client[CONTROL_CLIENTS_MOST];
};

// ----------------------------------------------------------------- one client

// A client that does not read its answer is cut off: the socket has a timeout.
static bool send_all(int socket, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t sent = send(socket, data, bytes, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        data += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

static bool answer(struct client *client, const char *line, size_t bytes)
{
    char *text = command_run(client->control->array, line, bytes);
    bool sent = text != NULL && send_all(client->socket, text, strlen(text))
        && send_all(client->socket, "\n", 1);

    free(text);
    return sent;
}

// Answers the lines that are complete. Returns false if the client is to go.
static bool answer_lines(struct client *client)
{
    char *begin = client->line;
    char *end;

    while ((end = memchr(begin, '\n', client->bytes)) != NULL) {
        size_t bytes = (size_t)(end - begin);

        if (!answer(client, begin, bytes))
            return false;
        client->bytes -= bytes + 1;
        begin = end + 1;
    }
    memmove(client->line, begin, client->bytes);
    if (client->bytes < sizeof client->line)
        return true;
    answer(client, NULL, 0); // too long: there is no telling where the next one begins
    return false;
}

// Takes in what comes, until `deadline_ns`. Returns false if the client is to go.
static bool receive(struct client *client, uint64_t deadline_ns)
{
    uint64_t now = now_ns();
    struct pollfd wanted = {.fd = client->socket, .events = POLLIN};
    ssize_t got;

    if (now >= deadline_ns || poll(&wanted, 1, (int)((deadline_ns - now) / 1000000) + 1) <= 0)
        return errno == EINTR && now < deadline_ns;
    got = recv(client->socket, client->line + client->bytes,
               sizeof client->line - client->bytes, 0);
    if (got <= 0)
        return got < 0 && errno == EINTR;
    client->bytes += (size_t)got;
    return true;
}

// A line that does not come to its end in time ends the connection.
static void serve(struct client *client)
{
    uint64_t deadline_ns = now_ns() + (uint64_t)CONTROL_TIMEOUT_S * 1000000000;

    while (receive(client, deadline_ns)) {
        bool is_complete = memchr(client->line, '\n', client->bytes) != NULL;

        if (!answer_lines(client))
            return;
        if (is_complete)
            deadline_ns = now_ns() + (uint64_t)CONTROL_TIMEOUT_S * 1000000000;
    }
}

static void *client_thread(void *argument)
{
    struct client *client = argument;
    struct control *control = client->control;

    serve(client);
    pthread_mutex_lock(&control->mutex);
    close(client->socket);
    client->socket = -1;
    control->clients--;
    pthread_cond_signal(&control->client_left);
    pthread_mutex_unlock(&control->mutex);
    return NULL;
}

// -------------------------------------------------------------- all of them

// Called with the mutex.
static struct client *free_place(struct control *control)
{
    for (int i = 0; i < CONTROL_CLIENTS_MOST && !control->stopping; i++)
        if (control->client[i].socket < 0)
            return &control->client[i];
    return NULL;
}

static bool start_client(struct control *control, struct client *client, int socket)
{
    pthread_attr_t detached;
    pthread_t thread;
    int error;

    *client = (struct client){.control = control, .socket = socket};
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    error = pthread_create(&thread, &detached, client_thread, client);
    pthread_attr_destroy(&detached);
    if (error == 0)
        control->clients++;
    else
        client->socket = -1;
    return error == 0;
}

static void take_client(struct control *control, int socket)
{
    static const struct timeval TIMEOUT = {.tv_sec = CONTROL_TIMEOUT_S};
    struct client *client;
    bool taken;

    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &TIMEOUT, sizeof TIMEOUT);
    pthread_mutex_lock(&control->mutex);
    client = free_place(control);
    taken = client != NULL && start_client(control, client, socket);
    pthread_mutex_unlock(&control->mutex);
    if (!taken) {
        send_all(socket, COMMAND_TOO_MANY, strlen(COMMAND_TOO_MANY));
        close(socket);
    }
}

static void *listen_thread(void *argument)
{
    static const struct timespec A_WHILE = {.tv_nsec = 50000000};
    struct control *control = argument;

    for (;;) {
        int socket = accept4(control->socket, NULL, NULL, SOCK_CLOEXEC);
        bool stopping;

        pthread_mutex_lock(&control->mutex);
        stopping = control->stopping;
        pthread_mutex_unlock(&control->mutex);
        if (stopping) {
            if (socket >= 0)
                close(socket);
            return NULL;
        }
        if (socket >= 0)
            take_client(control, socket);
        else
            nanosleep(&A_WHILE, NULL); // out of files or memory: that passes
    }
}

static int listen_on(struct control *control, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    mode_t mask;
    int bound;

    if (strlen(path) >= sizeof address.sun_path) {
        log_error("the path of the control socket is too long: '%s'", path);
        return -1;
    }
    strcpy(address.sun_path, path);
    strcpy(control->path, path);
    control->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(path);
    mask = umask(0177); // who may read and write the files may use the socket
    bound = control->socket < 0
        ? -1 : bind(control->socket, (struct sockaddr *)&address, sizeof address);
    umask(mask);
    if (bound != 0 || listen(control->socket, SOMAXCONN) != 0) {
        log_error("cannot listen on '%s': %s", path, strerror(errno));
        return -1;
    }
    return 0;
}

struct control *control_open(struct array *array, const char *path)
{
    struct control *control = calloc(1, sizeof *control);

    if (control == NULL) {
        log_error("no memory for the control socket");
        return NULL;
    }
    control->array = array;
    control->socket = -1;
    pthread_mutex_init(&control->mutex, NULL);
    pthread_cond_init(&control->client_left, NULL);
    for (int i = 0; i < CONTROL_CLIENTS_MOST; i++)
        control->client[i].socket = -1;
    if (listen_on(control, path) == 0)
        return control;
    control_close(control);
    return NULL;
}

int control_start(struct control *control)
{
    int error = pthread_create(&control->thread, NULL, listen_thread, control);

    control->serves = error == 0;
    if (error != 0)
        log_error("cannot start the thread of the control socket: %s", strerror(error));
    return error == 0 ? 0 : -1;
}

static void cut_off(struct control *control)
{
    pthread_mutex_lock(&control->mutex);
    control->stopping = true;
    shutdown(control->socket, SHUT_RDWR); // ends accept()
    for (int i = 0; i < CONTROL_CLIENTS_MOST; i++)
        if (control->client[i].socket >= 0)
            shutdown(control->client[i].socket, SHUT_RD);
    while (control->clients > 0)
        pthread_cond_wait(&control->client_left, &control->mutex);
    pthread_mutex_unlock(&control->mutex);
    pthread_join(control->thread, NULL);
}

void control_close(struct control *control)
{
    if (control->serves)
        cut_off(control);
    if (control->socket >= 0) {
        close(control->socket);
        unlink(control->path);
    }
    pthread_cond_destroy(&control->client_left);
    pthread_mutex_destroy(&control->mutex);
    free(control);
}
