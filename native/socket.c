/* An open socket as JavaScript holds it: what it hears is handed over by libuv's loop; namespaces; sending and closing. */
#define _GNU_SOURCE
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Node exports libuv's functions, but its headers are not at hand. These few declarations are part of libuv's
 * stable 1.x interface; handles stay opaque and are sized by uv_handle_size.
 */
typedef void (*uv_poll_cb)(void *handle, int status, int events);
extern int uv_poll_init(struct uv_loop_s *loop, void *handle, int fd);
extern int uv_poll_start(void *handle, int events, uv_poll_cb callback);
extern int uv_poll_stop(void *handle);
extern void uv_close(void *handle, void (*callback)(void *handle));
extern int uv_is_active(const void *handle);
extern size_t uv_handle_size(int type);
extern void *uv_handle_get_data(const void *handle);
extern void uv_handle_set_data(void *handle, void *data);
extern const char *uv_err_name(int error);
enum { UV_POLL = 8, UV_READABLE = 1 };

enum {
  MAX_READ = 1 << 17,        /* bytes a wake-up, give or take a datagram: of a long dump, some 5 ms to parse */
  MAX_READS = 64,            /* datagrams a wake-up, so that a storm leaves room for other work */
  MAX_DATAGRAM = 256 * 1024, /* the kernel's netlink dumps come in pieces of at most 32 KiB */
  READ_BUFFER = 8 * 1024 * 1024, /* memory only while it fills: a storm, or a dump, comes faster than it is read */
};

/* ---- errors ---- */

static napi_value make_error(napi_env env, int error, const char *what, const char *doing) {
  char text[256];
  const char *cause = error == ENODEV ? "there is no such interface" : strerror(error);
  snprintf(text, sizeof text, "%s: %s: %s", what, doing, cause);
  napi_value code, message, result;
  napi_create_string_utf8(env, uv_err_name(-error), NAPI_AUTO_LENGTH, &code);
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
  napi_create_error(env, code, message, &result);
  return result;
}

napi_value throw_errno(napi_env env, int error, const char *what, const char *doing) {
  napi_throw(env, make_error(env, error, what, doing));
  return NULL;
}

/* ---- reading ---- */

static void call(Socket *socket, napi_ref callback, napi_value argument) {
  napi_value function, receiver;
  napi_get_reference_value(socket->env, callback, &function);
  napi_get_global(socket->env, &receiver);
  if (napi_make_callback(socket->env, NULL, receiver, function, 1, &argument, NULL) != napi_pending_exception) return;
  napi_value exception = NULL;
  napi_get_and_clear_last_exception(socket->env, &exception);
  napi_fatal_exception(socket->env, exception);
}

static void report(Socket *socket, int error) {
  napi_handle_scope scope;
  napi_open_handle_scope(socket->env, &scope);
  call(socket, socket->on_error, make_error(socket->env, error, socket->name, "receiving"));
  napi_close_handle_scope(socket->env, scope);
}

static void deliver(Socket *socket, const void *bytes, size_t length) {
  napi_handle_scope scope;
  napi_open_handle_scope(socket->env, &scope);
  napi_value memory, array;
  void *copy;
  if (napi_create_arraybuffer(socket->env, length, &copy, &memory) == napi_ok) {
    memcpy(copy, bytes, length);
    napi_create_typedarray(socket->env, napi_uint8_array, length, memory, 0, &array);
    call(socket, socket->on_data, array);
  }
  napi_close_handle_scope(socket->env, scope);
}

typedef union {
  struct sockaddr any;
  struct sockaddr_ll packet;
  struct sockaddr_nl netlink;
} Sender;

/*
 * A packet socket of one protocol sees neither our own frames nor, once the kernel has taken a VLAN tag off,
 * that there was one. But a frame for a VLAN that we lack is marked as another host's, and one for a VLAN or
 * bond device on top of our interface carries that device's index: both are not for us. Of netlink messages,
 * only the kernel's (port 0) count.
 */
static bool is_for_us(const Socket *socket, const Sender *from) {
  if (socket->answering) return true; /* the thread has looked */
  if (socket->interface == 0) return from->netlink.nl_pid == 0;
  unsigned char type = from->packet.sll_pkttype;
  return from->packet.sll_ifindex == socket->interface &&
         (type == PACKET_HOST || type == PACKET_BROADCAST || type == PACKET_MULTICAST);
}

/* Reads one datagram, and adds its length. 0 when there was one, otherwise the errno. */
static int read_one(Socket *socket, size_t *read) {
  static _Thread_local unsigned char buffer[MAX_DATAGRAM]; /* Node may load us in several threads */
  Sender from = {0};
  struct iovec piece = {buffer, sizeof buffer};
  struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &piece, .msg_iovlen = 1};
  ssize_t length;
  do {
    length = recvmsg(socket->fd, &message, 0);
  } while (length < 0 && errno == EINTR);
  if (length < 0) return errno;
  *read += (size_t)length;
  if (length == 0 && socket->answering) return answering_error(socket->answering);
  /* Half a datagram is a lost one. */
  if (message.msg_flags & MSG_TRUNC) return socket->interface == 0 ? ENOBUFS : 0;
  if (is_for_us(socket, &from)) deliver(socket, buffer, (size_t)length);
  return 0;
}

static void on_readable(void *poll, int status, int events) {
  (void)status; /* recvmsg says the error by its name */
  (void)events;
  Socket *socket = uv_handle_get_data(poll);
  /* Any callback may close the socket. */
  size_t read = 0;
  for (int reads = 0; reads < MAX_READS && read < MAX_READ && socket->fd >= 0; reads++) {
    int error = read_one(socket, &read);
    if (error == 0) continue;
    if (error == EAGAIN) break;
    if (error != ENOBUFS) uv_poll_stop(poll);
    report(socket, error);
    if (error != ENOBUFS) return;
  }
  /* libuv stops a handle whose socket had an error pending, which after ENOBUFS goes on. */
  if (socket->fd >= 0 && !uv_is_active(poll)) uv_poll_start(poll, UV_READABLE, on_readable);
}

/* ---- life ---- */

void close_groups(const int *group_fds) {
  for (int i = 0; i < GROUP_SOCKETS; i++)
    if (group_fds[i] >= 0) close(group_fds[i]);
}

static void on_closed(void *poll) {
  Socket *socket = uv_handle_get_data(poll);
  napi_delete_reference(socket->env, socket->on_data);
  napi_delete_reference(socket->env, socket->on_error);
  napi_remove_async_cleanup_hook(socket->cleanup);
  free(poll);
  free(socket);
}

static void shut(Socket *socket) {
  if (socket->fd < 0) return;
  uv_close(socket->poll, on_closed); /* stops the polling at once; the callback comes in the next turn */
  close(socket->fd);
  socket->fd = -1;
  close_groups(socket->group_fds);
  if (socket->answering) answering_stop(socket->answering);
}

/* The environment waits until on_closed has removed the hook. */
static void on_environment_end(napi_async_cleanup_hook_handle hook, void *socket) {
  (void)hook;
  shut(socket);
}

/*
 * What JavaScript holds is a small box that names the socket: the box lives as long as JavaScript holds it, the
 * socket until it is closed.
 */
typedef struct {
  Socket *socket; /* NULL once closed */
} Box;

static void free_box(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

/* The open socket, or NULL with EBADF thrown. */
Socket *socket_of(napi_env env, napi_value value, const char *doing) {
  Box *box = NULL;
  if (napi_get_value_external(env, value, (void **)&box) == napi_ok && box->socket) return box->socket;
  throw_errno(env, EBADF, "the socket is closed", doing);
  return NULL;
}

/* Takes the file descriptors that `opened` names, and reads from them until they are closed. */
napi_value adopt(napi_env env, const Socket *opened, napi_value on_data, napi_value on_error) {
  Socket *socket = malloc(sizeof *socket);
  Box *box = malloc(sizeof *box);
  void *poll = malloc(uv_handle_size(UV_POLL));
  struct uv_loop_s *loop;
  napi_get_uv_event_loop(env, &loop);
  int error = socket && box && poll ? -uv_poll_init(loop, poll, opened->fd) : ENOMEM;
  if (error) {
    free(socket);
    free(box);
    free(poll);
    close(opened->fd);
    close_groups(opened->group_fds);
    if (opened->answering) answering_stop(opened->answering);
    return throw_errno(env, error, opened->name, "polling");
  }
  *socket = *opened;
  socket->env = env;
  socket->poll = poll;
  box->socket = socket;
  napi_create_reference(env, on_data, 1, &socket->on_data);
  napi_create_reference(env, on_error, 1, &socket->on_error);
  napi_add_async_cleanup_hook(env, on_environment_end, socket, &socket->cleanup);
  uv_handle_set_data(poll, socket);
  uv_poll_start(poll, UV_READABLE, on_readable);
  napi_value handle;
  napi_create_external(env, box, free_box, NULL, &handle);
  return handle;
}

/* ---- namespaces: a socket belongs to the network namespace in which it was made ---- */

/* Moves this thread into the namespace at `path`, "" for none. Returns what `leave` takes, or NOT_ENTERED. */
int enter(const char *path) {
  if (!path[0]) return NOT_MOVED;
  int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) return NOT_ENTERED;
  int target = open(path, O_RDONLY | O_CLOEXEC);
  /* Entering home, where we are, shows that we may come back: the rights over the two can differ. */
  bool entered = target >= 0 && setns(home, CLONE_NEWNET) == 0 && setns(target, CLONE_NEWNET) == 0;
  int error = entered ? 0 : errno;
  if (target >= 0) close(target);
  if (!error) return home;
  close(home);
  errno = error;
  return NOT_ENTERED;
}

/* Keeps errno. */
void leave(int home) {
  if (home == NOT_MOVED) return;
  int error = errno;
  if (setns(home, CLONE_NEWNET) < 0) abort(); /* every later socket would be made in a foreign namespace */
  close(home);
  errno = error;
}

napi_value throw_not_entered(napi_env env, const char *path) {
  return throw_errno(env, errno, path,
                     errno == EPERM ? "entering a network namespace needs the capability CAP_SYS_ADMIN"
                                    : "entering the network namespace");
}

/* The forced way is root's alone; the plain one stops at net.core.{r,w}mem_max. */
void enlarge(int fd, int forced, int plain) {
  int size = READ_BUFFER;
  if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) < 0) setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

napi_value send_bytes(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  Socket *socket = socket_of(env, arguments[0], "sending");
  if (!socket) return NULL;
  void *bytes = NULL;
  size_t length = 0;
  napi_typedarray_type type = napi_uint8_array;
  if (napi_get_typedarray_info(env, arguments[1], &type, &length, &bytes, NULL, NULL) != napi_ok ||
      type != napi_uint8_array)
    return throw_errno(env, EINVAL, socket->name, "sending: the data must be a Uint8Array");
  if (socket->answering) {
    int error = answering_send(socket->answering, bytes, length);
    return error ? throw_errno(env, error, socket->name, "sending") : NULL;
  }
  ssize_t sent;
  do {
    sent = send(socket->fd, bytes, length, 0);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return throw_errno(env, errno, socket->name, "sending");
  return NULL;
}

napi_value close_socket(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  Box *box = NULL;
  if (napi_get_value_external(env, argument, (void **)&box) != napi_ok || !box->socket) return NULL;
  shut(box->socket);
  box->socket = NULL;
  return NULL;
}
