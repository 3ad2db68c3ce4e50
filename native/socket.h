/* What the kinds of sockets share: opening in a namespace, and the handle that JavaScript has afterwards. */
#ifndef FAIRLEAD_SOCKET_H
#define FAIRLEAD_SOCKET_H

#include <stdbool.h>

#include <node_api.h>

#include "answering.h"

enum {
  /* One socket joins as many groups as net.core.optmem_max allows: 20 KiB before Linux 6.7, some 360 groups. */
  GROUP_SOCKETS = 4,
  /* What `enter` returns beside a file descriptor. */
  NOT_MOVED = -1,
  NOT_ENTERED = -2,
};

typedef struct {
  napi_env env;
  napi_ref on_data;
  napi_ref on_error;
  napi_async_cleanup_hook_handle cleanup;
  void *poll;
  int fd; /* -1 once closed */
  int group_fds[GROUP_SOCKETS]; /* "ndp" only, otherwise -1: they hold the IPv6 group memberships */
  int interface; /* 0 for netlink */
  Answering *answering; /* NULL but for what openAnswering opened; then `fd` is where its frames for JavaScript come from */
  char name[64]; /* for messages */
} Socket;

/* Throws an Error whose `code` is the errno's name; returns NULL. */
napi_value throw_errno(napi_env env, int error, const char *what, const char *doing);
napi_value throw_not_entered(napi_env env, const char *path);

/* Moves this thread into the namespace at `path`, "" for none. Returns what `leave` takes, or NOT_ENTERED. */
int enter(const char *path);
/* Keeps errno. */
void leave(int home);
void enlarge(int fd, int forced, int plain);

/* Takes the file descriptors that `opened` names, and reads from them until they are closed. */
napi_value adopt(napi_env env, const Socket *opened, napi_value on_data, napi_value on_error);
/* The open socket, or NULL with EBADF thrown. */
Socket *socket_of(napi_env env, napi_value value, const char *doing);
void close_groups(const int *group_fds);

/* packet.c: fills in the file descriptors and the interface; false with errno set, and nothing left open, when it cannot. */
bool make_packet_socket(Socket *made, const char *interface, bool ndp);

/* What the addon exports. */
napi_value open_packet(napi_env env, napi_callback_info info);
napi_value set_group(napi_env env, napi_callback_info info);
napi_value open_answering(napi_env env, napi_callback_info info);
napi_value set_answer(napi_env env, napi_callback_info info);
napi_value share_answer(napi_env env, napi_callback_info info);
napi_value remove_answer(napi_env env, napi_callback_info info);
napi_value announce(napi_env env, napi_callback_info info);
napi_value counts(napi_env env, napi_callback_info info);
napi_value open_netlink(napi_env env, napi_callback_info info);
napi_value send_bytes(napi_env env, napi_callback_info info);
napi_value close_socket(napi_env env, napi_callback_info info);

#endif
