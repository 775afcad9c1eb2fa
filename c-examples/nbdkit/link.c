#include "link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static FILE *from;
static int link_socket = -1;
static const char *link_path;

static void no_array(const char *what)
{
    fprintf(stderr, "clonectl: no array at '%s': %s\n", link_path, what);
    exit(EXIT_NO_ARRAY);
}

void link_open(const char *path, int timeout_s)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = timeout_s};

    link_path = path;
    if (strlen(path) >= sizeof address.sun_path)
        no_array("the path is too long");
    strcpy(address.sun_path, path);
    link_socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link_socket < 0 || connect(link_socket, (struct sockaddr *)&address, sizeof address) != 0)
        no_array(strerror(errno));
    setsockopt(link_socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(link_socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    from = fdopen(link_socket, "r");
    if (from == NULL)
        no_array(strerror(errno));
}

static void send_line(char *line)
{
    size_t bytes = strlen(line);
    size_t sent = 0;

    line[bytes] = '\n'; // in place of the end
    while (sent < bytes + 1) {
        ssize_t put = send(link_socket, line + sent, bytes + 1 - sent, MSG_NOSIGNAL);

        if (put <= 0)
            no_array(strerror(errno));
        sent += (size_t)put;
    }
}

json_t *link_command(const char *name)
{
    return json_pack("{ss}", "command", name);
}

json_t *link_ask(json_t *command)
{
    char *text = json_dumps(command, JSON_COMPACT);
    char *line = NULL;
    size_t room = 0;
    json_t *answer;

    if (text == NULL)
        no_array("no memory");
    send_line(text);
    free(text);
    json_decref(command);
    errno = 0;
    if (getline(&line, &room, from) <= 0)
        no_array(errno == EAGAIN ? "it does not answer in time" : "it hung up");
    answer = json_loads(line, 0, NULL);
    free(line);
    if (!json_is_object(answer))
        no_array("it does not speak this protocol");
    return answer;
}

int link_outcome(const json_t *answer)
{
    const char *kind = json_string_value(json_object_get(answer, "kind"));
    const char *text = json_string_value(json_object_get(answer, "text"));
    const char *name = json_string_value(json_object_get(answer, "name"));
    const char *state = json_string_value(json_object_get(answer, "state"));

    if (json_is_true(json_object_get(answer, "ok")))
        return EXIT_DONE;
    kind = kind != NULL ? kind : "failed";
    fprintf(stderr, "clonectl: %s: %s%s%s%s%s%s\n", kind, text != NULL ? text : "no reason given",
            state != NULL ? "; the Clone is " : "", state != NULL ? state : "",
            name != NULL ? " (" : "", name != NULL ? name : "", name != NULL ? ")" : "");
    return strcmp(kind, "usage") == 0 ? EXIT_USAGE
        : strcmp(kind, "refused") == 0 ? EXIT_REFUSED : EXIT_FAILED;
}

json_t *link_must(json_t *command)
{
    json_t *answer = link_ask(command);
    int outcome = link_outcome(answer);

    if (outcome != EXIT_DONE)
        exit(outcome);
    return answer;
}
