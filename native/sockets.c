/*
 * The sockets that Node lacks: AF_PACKET for whole Ethernet frames, AF_NETLINK for the kernel's tables.
 * It only opens, reads, sends and closes; every frame and message is built and parsed in TypeScript. The exception
 * is answering.c, where a thread answers ARP and NDP for a table of addresses: its face towards JavaScript is here.
 *
 * Exports
 *   openPacket(interface, protocol, namespace, onData, onError) -> handle     protocol: "arp" | "ndp"
 *   openNetlink(protocol, groups, namespace, onData, onError) -> handle
 *   send(handle, bytes)   setGroup(handle, group, join)   close(handle)
 *   openAnswering(interface, mac, namespace, onClaim, onError) -> handle
 *   setAnswer(handle, address, until, refusal)   shareAnswer(handle, address, cells, index, refusal)
 *   removeAnswer(handle, address)
 *   announce(handle, address, bytes) -> whether it left   counts(handle) -> Float64Array
 * Failures throw an Error whose `code` is the errno's name. An error that is not ENOBUFS ends the reading;
 * the owner then closes the handle. A socket lives until it is closed or its Node environment ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <node_api.h>

#include "answering.h"

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
  /* One socket joins as many groups as net.core.optmem_max allows: 20 KiB before Linux 6.7, some 360 groups. */
  GROUP_SOCKETS = 4,
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

static napi_value throw_errno(napi_env env, int error, const char *what, const char *doing) {
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

static void close_groups(const int *group_fds) {
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
static Socket *socket_of(napi_env env, napi_value value, const char *doing) {
  Box *box = NULL;
  if (napi_get_value_external(env, value, (void **)&box) == napi_ok && box->socket) return box->socket;
  throw_errno(env, EBADF, "the socket is closed", doing);
  return NULL;
}

/* Takes the file descriptors that `opened` names, and reads from them until they are closed. */
static napi_value adopt(napi_env env, const Socket *opened, napi_value on_data, napi_value on_error) {
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

enum { NOT_MOVED = -1, NOT_ENTERED = -2 };

/* Moves this thread into the namespace at `path`, "" for none. Returns what `leave` takes, or NOT_ENTERED. */
static int enter(const char *path) {
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
static void leave(int home) {
  if (home == NOT_MOVED) return;
  int error = errno;
  if (setns(home, CLONE_NEWNET) < 0) abort(); /* every later socket would be made in a foreign namespace */
  close(home);
  errno = error;
}

static napi_value throw_not_entered(napi_env env, const char *path) {
  return throw_errno(env, errno, path,
                     errno == EPERM ? "entering a network namespace needs the capability CAP_SYS_ADMIN"
                                    : "entering the network namespace");
}

/* The forced way is root's alone; the plain one stops at net.core.{r,w}mem_max. */
static void enlarge(int fd, int forced, int plain) {
  int size = READ_BUFFER;
  if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) < 0) setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

/* ---- AF_PACKET ---- */

/* Neighbour solicitations and advertisements only: IPv6 next header 58, ICMPv6 type 135 or 136. */
static struct sock_filter ndp_filter[] = {
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 20),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 0, 4),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 54),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 135, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 136, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, 0xffff),
    BPF_STMT(BPF_RET | BPF_K, 0),
};

static bool bind_packet(int fd, int interface, bool ndp) {
  struct sock_fprog program = {sizeof ndp_filter / sizeof ndp_filter[0], ndp_filter};
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET,
      .sll_protocol = htons(ndp ? ETH_P_IPV6 : ETH_P_ARP),
      .sll_ifindex = interface,
  };
  if (ndp && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0) return false;
  return bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
}

/* Fills in the file descriptors and the interface; false with errno set, and nothing left open, when it cannot. */
static bool make_packet_socket(Socket *made, const char *interface, bool ndp) {
  memset(made->group_fds, -1, sizeof made->group_fds);
  /* With protocol 0 it receives nothing until the filter stands and the interface is chosen. */
  made->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (made->fd < 0) return false;
  made->interface = (int)if_nametoindex(interface);
  bool done = made->interface != 0 && bind_packet(made->fd, made->interface, ndp);
  for (int i = 0; done && ndp && i < GROUP_SOCKETS; i++) {
    made->group_fds[i] = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    /* Without IPv6 in the kernel there is nothing to hear, but nothing wrong either until a group is joined. */
    done = made->group_fds[i] >= 0 || errno == EAFNOSUPPORT;
  }
  if (done) return true;
  int error = errno;
  close(made->fd);
  close_groups(made->group_fds);
  errno = error;
  return false;
}

static napi_value open_packet(napi_env env, napi_callback_info info) {
  size_t count = 5;
  napi_value arguments[5];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  char interface[40] = "", protocol[8] = "", namespace[256] = "";
  napi_get_value_string_utf8(env, arguments[0], interface, sizeof interface, NULL);
  napi_get_value_string_utf8(env, arguments[1], protocol, sizeof protocol, NULL);
  napi_get_value_string_utf8(env, arguments[2], namespace, sizeof namespace, NULL);

  Socket opened = {0};
  snprintf(opened.name, sizeof opened.name, "packet socket on %s", interface);
  int home = enter(namespace);
  if (home == NOT_ENTERED) return throw_not_entered(env, namespace);
  bool done = make_packet_socket(&opened, interface, strcmp(protocol, "ndp") == 0);
  leave(home);
  if (done) return adopt(env, &opened, arguments[3], arguments[4]);
  const char *doing = errno == EPERM ? "opening it needs the capability CAP_NET_RAW" : "opening";
  return throw_errno(env, errno, opened.name, doing);
}

/* ---- answering ---- */

/* Fills in what openAnswering opens; false with errno set, and nothing left open, when it cannot. */
static bool make_answering(Socket *made, const char *interface, const uint8_t mac[6]) {
  Socket arp = {0};
  if (!make_packet_socket(&arp, interface, false)) return false;
  if (make_packet_socket(made, interface, true)) {
    AnsweringPlace place = {.arp = arp.fd, .ndp = made->fd, .interface = made->interface};
    memcpy(place.mac, mac, 6);
    enlarge(place.arp, SO_RCVBUFFORCE, SO_RCVBUF);
    enlarge(place.ndp, SO_RCVBUFFORCE, SO_RCVBUF);
    int ndp = made->fd;
    made->answering = answering_start(&place, &made->fd);
    if (made->answering) return true;
    int error = errno;
    close(ndp);
    close_groups(made->group_fds);
    errno = error;
  }
  int error = errno;
  close(arp.fd);
  errno = error;
  return false;
}

static napi_value open_answering(napi_env env, napi_callback_info info) {
  size_t count = 5, length = 0;
  napi_value arguments[5];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  char interface[40] = "", namespace[256] = "";
  void *mac = NULL;
  napi_get_value_string_utf8(env, arguments[0], interface, sizeof interface, NULL);
  napi_get_typedarray_info(env, arguments[1], NULL, &length, &mac, NULL, NULL);
  napi_get_value_string_utf8(env, arguments[2], namespace, sizeof namespace, NULL);

  Socket opened = {0};
  snprintf(opened.name, sizeof opened.name, "packet socket on %s", interface);
  if (length != 6) return throw_errno(env, EINVAL, opened.name, "opening: a MAC address has six bytes");
  int home = enter(namespace);
  if (home == NOT_ENTERED) return throw_not_entered(env, namespace);
  bool done = make_answering(&opened, interface, mac);
  leave(home);
  if (done) return adopt(env, &opened, arguments[3], arguments[4]);
  const char *doing = errno == EPERM ? "opening it needs the capability CAP_NET_RAW" : "opening";
  return throw_errno(env, errno, opened.name, doing);
}

/* The open answering socket and the address that the first two arguments name, or NULL with an error thrown. */
static Socket *answering_of(napi_env env, const napi_value *arguments, Address *address, const char *doing) {
  Socket *socket = socket_of(env, arguments[0], doing);
  if (!socket) return NULL;
  char text[INET6_ADDRSTRLEN] = "";
  napi_get_value_string_utf8(env, arguments[1], text, sizeof text, NULL);
  *address = (Address){{[10] = 0xff, [11] = 0xff}};
  bool understood = inet_pton(AF_INET, text, address->bytes + 12) == 1 || inet_pton(AF_INET6, text, address->bytes) == 1;
  if (understood && socket->answering) return socket;
  throw_errno(env, EINVAL, socket->name, doing);
  return NULL;
}

/* `until`: milliseconds on CLOCK_MONOTONIC, for ever from 9e12 (285 years of uptime) on, no more when not above 0. */
static napi_value set_answer(napi_env env, napi_callback_info info) {
  size_t count = 4;
  napi_value arguments[4];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  Address address;
  Socket *socket = answering_of(env, arguments, &address, "answering for an address");
  if (!socket) return NULL;
  double until = 0;
  int32_t refusal = NO_RIGHT;
  napi_get_value_double(env, arguments[2], &until);
  napi_get_value_int32(env, arguments[3], &refusal);
  int64_t nanoseconds = !(until > 0) ? 0 : until < 9e12 ? (int64_t)(until * 1e6) : INT64_MAX;
  bool known = refusal >= 0 && refusal < COUNTS;
  if (!known || !answering_set(socket->answering, &address, nanoseconds, NULL, (Count)refusal))
    return throw_errno(env, known ? ENOMEM : EINVAL, socket->name, "answering for an address");
  return NULL;
}

/* `cells`: a BigInt64Array that is never freed; its cell says until when, in nanoseconds on CLOCK_MONOTONIC. */
static napi_value share_answer(napi_env env, napi_callback_info info) {
  size_t count = 5, length = 0;
  napi_value arguments[5];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  Address address;
  Socket *socket = answering_of(env, arguments, &address, "answering for an address");
  if (!socket) return NULL;
  napi_typedarray_type type = napi_uint8_array;
  void *cells = NULL;
  int64_t index = -1;
  int32_t refusal = NO_RIGHT;
  napi_get_typedarray_info(env, arguments[2], &type, &length, &cells, NULL, NULL);
  napi_get_value_int64(env, arguments[3], &index);
  napi_get_value_int32(env, arguments[4], &refusal);
  bool known = type == napi_bigint64_array && index >= 0 && (size_t)index < length && refusal >= 0 && refusal < COUNTS;
  if (!known || !answering_set(socket->answering, &address, 0, (int64_t *)cells + index, (Count)refusal))
    return throw_errno(env, known ? ENOMEM : EINVAL, socket->name, "answering for an address");
  return NULL;
}

static napi_value remove_answer(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  Address address;
  Socket *socket = answering_of(env, arguments, &address, "withdrawing an address");
  if (socket) answering_remove(socket->answering, &address);
  return NULL;
}

static napi_value announce(napi_env env, napi_callback_info info) {
  size_t count = 3, length = 0;
  napi_value arguments[3], result;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  Address address;
  Socket *socket = answering_of(env, arguments, &address, "announcing an address");
  if (!socket) return NULL;
  void *bytes = NULL;
  napi_get_typedarray_info(env, arguments[2], NULL, &length, &bytes, NULL, NULL);
  napi_get_boolean(env, answering_announce(socket->answering, &address, bytes, length) == 0, &result);
  return result;
}

static napi_value counts(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument, memory, result;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  Socket *socket = socket_of(env, argument, "counting");
  if (!socket) return NULL;
  void *figures;
  if (napi_create_arraybuffer(env, COUNTS * sizeof(double), &figures, &memory) != napi_ok) return NULL;
  answering_counts(socket->answering, figures);
  napi_create_typedarray(env, napi_float64_array, COUNTS, memory, 0, &result);
  return result;
}

/*
 * Joins as an IPv6 host does: the kernel sends the MLD report that snooping switches wait for, and opens the
 * interface's own filter for the group's Ethernet address. The caller joins each group once.
 */
static int join_group(const Socket *socket, const struct ipv6_mreq *request) {
  if (socket->group_fds[0] < 0) return EAFNOSUPPORT;
  for (int i = 0; i < GROUP_SOCKETS; i++) {
    if (setsockopt(socket->group_fds[i], IPPROTO_IPV6, IPV6_JOIN_GROUP, request, sizeof *request) == 0) return 0;
    if (errno != ENOMEM && errno != ENOBUFS) break; /* otherwise this socket is full */
  }
  return errno;
}

static void leave_group(const Socket *socket, const struct ipv6_mreq *request) {
  for (int i = 0; i < GROUP_SOCKETS; i++)
    if (setsockopt(socket->group_fds[i], IPPROTO_IPV6, IPV6_LEAVE_GROUP, request, sizeof *request) == 0) return;
}

static napi_value set_group(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  Socket *socket = socket_of(env, arguments[0], "joining a group");
  if (!socket) return NULL;
  char text[INET6_ADDRSTRLEN] = "";
  bool join = false;
  napi_get_value_string_utf8(env, arguments[1], text, sizeof text, NULL);
  napi_get_value_bool(env, arguments[2], &join);
  struct ipv6_mreq request = {.ipv6mr_interface = (unsigned)socket->interface};
  bool understood = inet_pton(AF_INET6, text, &request.ipv6mr_multiaddr) == 1;
  if (understood && !join) leave_group(socket, &request);
  int error = !understood ? EINVAL : join ? join_group(socket, &request) : 0;
  if (!error) return NULL;
  bool full = error == ENOMEM || error == ENOBUFS;
  return throw_errno(env, error, socket->name,
                     full ? "joining a group (so many need a higher net.core.optmem_max)"
                          : "joining a group (it needs IPv6 on the interface)");
}

/* ---- AF_NETLINK ---- */

static napi_value open_netlink(napi_env env, napi_callback_info info) {
  size_t count = 5;
  napi_value arguments[5];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  int32_t protocol = 0;
  char namespace[256] = "";
  napi_get_value_int32(env, arguments[0], &protocol);
  napi_get_value_string_utf8(env, arguments[2], namespace, sizeof namespace, NULL);

  Socket opened = {.name = "netlink socket"};
  memset(opened.group_fds, -1, sizeof opened.group_fds);
  int home = enter(namespace);
  if (home == NOT_ENTERED) return throw_not_entered(env, namespace);
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  leave(home);
  if (fd < 0) return throw_errno(env, errno, opened.name, "opening");
  opened.fd = fd;
  int on = 1;
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  enlarge(fd, SO_RCVBUFFORCE, SO_RCVBUF);
  enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  int failed = bind(fd, (struct sockaddr *)&address, sizeof address);
  uint32_t groups = 0;
  napi_get_array_length(env, arguments[1], &groups);
  for (uint32_t i = 0; i < groups && !failed; i++) {
    napi_value element;
    int32_t group = 0;
    napi_get_element(env, arguments[1], i, &element);
    napi_get_value_int32(env, element, &group);
    failed = setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group);
  }
  if (!failed) return adopt(env, &opened, arguments[3], arguments[4]);
  int error = errno;
  close(fd);
  return throw_errno(env, error, opened.name,
                     error == EPERM ? "listening to this group needs the capability CAP_NET_ADMIN" : "binding");
}

/* ---- both ---- */

static napi_value send_bytes(napi_env env, napi_callback_info info) {
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

static napi_value close_socket(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  Box *box = NULL;
  if (napi_get_value_external(env, argument, (void **)&box) != napi_ok || !box->socket) return NULL;
  shut(box->socket);
  box->socket = NULL;
  return NULL;
}

static napi_value init(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
      {"openPacket", NULL, open_packet, NULL, NULL, NULL, napi_enumerable, NULL},
      {"openNetlink", NULL, open_netlink, NULL, NULL, NULL, napi_enumerable, NULL},
      {"setGroup", NULL, set_group, NULL, NULL, NULL, napi_enumerable, NULL},
      {"send", NULL, send_bytes, NULL, NULL, NULL, napi_enumerable, NULL},
      {"openAnswering", NULL, open_answering, NULL, NULL, NULL, napi_enumerable, NULL},
      {"setAnswer", NULL, set_answer, NULL, NULL, NULL, napi_enumerable, NULL},
      {"shareAnswer", NULL, share_answer, NULL, NULL, NULL, napi_enumerable, NULL},
      {"removeAnswer", NULL, remove_answer, NULL, NULL, NULL, napi_enumerable, NULL},
      {"announce", NULL, announce, NULL, NULL, NULL, napi_enumerable, NULL},
      {"counts", NULL, counts, NULL, NULL, NULL, napi_enumerable, NULL},
      {"close", NULL, close_socket, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_define_properties(env, exports, sizeof functions / sizeof functions[0], functions);
  return exports;
}

NAPI_MODULE(fairlead_sockets, init)
