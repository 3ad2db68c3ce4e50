/*
 * The sockets that Node lacks: AF_PACKET for whole Ethernet frames, AF_NETLINK for the kernel's tables.
 * It only opens, reads, sends and closes; every frame and message is built and parsed in TypeScript.
 *
 * Exports
 *   openPacket(interface, protocol, namespace, onData, onError) -> handle     protocol: "arp" | "ndp"
 *   openNetlink(protocol, groups, namespace, onData, onError) -> handle
 *   send(handle, bytes)   setGroup(handle, group, join)   close(handle)
 * Failures throw an Error whose `code` is the errno's name.
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

/*
 * Node exports libuv's functions but does not ship its headers. These few declarations are part of libuv's
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
enum { UV_POLL = 8, UV_READABLE = 1 };

enum {
  MAX_READS = 64,            /* datagrams a wake-up, so that a storm leaves room for other work */
  MAX_DATAGRAM = 256 * 1024, /* the kernel's netlink dumps come in pieces of at most 32 KiB */
  NETLINK_BUFFER = 8 * 1024 * 1024,
};

typedef struct {
  napi_env env;
  napi_ref on_data;
  napi_ref on_error;
  napi_async_context context;
  void *poll;
  int fd;
  int group_fd; /* holds IPv6 group memberships; -1 where there are none */
  unsigned interface;
} Socket;

static unsigned char buffer[MAX_DATAGRAM];

/* ---- errors ---- */

static const char *errno_name(int error) {
  switch (error) {
    case EPERM: return "EPERM";
    case EACCES: return "EACCES";
    case ENODEV: return "ENODEV";
    case ENXIO: return "ENXIO";
    case ENETDOWN: return "ENETDOWN";
    case ENOBUFS: return "ENOBUFS";
    case EAGAIN: return "EAGAIN";
    case ENOENT: return "ENOENT";
    case EINVAL: return "EINVAL";
    case EBADF: return "EBADF";
    case EMSGSIZE: return "EMSGSIZE";
    case ENOMEM: return "ENOMEM";
    case EMFILE: return "EMFILE";
    case EADDRINUSE: return "EADDRINUSE";
    case EADDRNOTAVAIL: return "EADDRNOTAVAIL";
    case EAFNOSUPPORT: return "EAFNOSUPPORT";
    case EPROTONOSUPPORT: return "EPROTONOSUPPORT";
    default: return "EUNKNOWN";
  }
}

static napi_value make_error(napi_env env, int error, const char *doing) {
  char text[256];
  snprintf(text, sizeof text, "%s: %s", doing, strerror(error));
  napi_value code, message, result;
  napi_create_string_utf8(env, errno_name(error), NAPI_AUTO_LENGTH, &code);
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
  napi_create_error(env, code, message, &result);
  return result;
}

static napi_value throw_errno(napi_env env, int error, const char *doing) {
  napi_throw(env, make_error(env, error, doing));
  return NULL;
}

/* ---- reading ---- */

static void call(Socket *socket, napi_ref function_ref, napi_value argument) {
  napi_value function, receiver, result;
  napi_get_reference_value(socket->env, function_ref, &function);
  napi_get_global(socket->env, &receiver);
  if (napi_make_callback(socket->env, socket->context, receiver, function, 1, &argument, &result) != napi_ok) {
    napi_value exception;
    bool pending = false;
    napi_is_exception_pending(socket->env, &pending);
    if (!pending) return;
    napi_get_and_clear_last_exception(socket->env, &exception);
    napi_fatal_exception(socket->env, exception);
  }
}

static void report(Socket *socket, int error) {
  napi_handle_scope scope;
  napi_open_handle_scope(socket->env, &scope);
  call(socket, socket->on_error, make_error(socket->env, error, "reading from the socket"));
  napi_close_handle_scope(socket->env, scope);
}

/* A frame that another host sent to us, to a group or to all; not our own, not one for somebody else. */
static bool is_for_us(const struct sockaddr_storage *from) {
  if (from->ss_family != AF_PACKET) return true;
  unsigned char type = ((const struct sockaddr_ll *)from)->sll_pkttype;
  return type == PACKET_HOST || type == PACKET_BROADCAST || type == PACKET_MULTICAST;
}

static void on_readable(void *poll, int status, int events) {
  (void)status; /* recvmsg says the error by its name */
  (void)events;
  Socket *socket = uv_handle_get_data(poll);
  for (int reads = 0; reads < MAX_READS && socket->fd >= 0; reads++) {
    struct sockaddr_storage from = {0};
    struct iovec piece = {buffer, sizeof buffer};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &piece, .msg_iovlen = 1};
    ssize_t length = recvmsg(socket->fd, &message, 0);
    if (length < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) {
        int error = errno;
        if (error != ENOBUFS) uv_poll_stop(poll);
        report(socket, error);
        if (error != ENOBUFS) return;
        continue;
      }
      break;
    }
    if (message.msg_flags & MSG_TRUNC || !is_for_us(&from)) continue;
    napi_handle_scope scope;
    napi_open_handle_scope(socket->env, &scope);
    napi_value data;
    napi_create_buffer_copy(socket->env, (size_t)length, buffer, NULL, &data);
    call(socket, socket->on_data, data);
    napi_close_handle_scope(socket->env, scope);
  }
  /* libuv stops a handle whose socket had a pending error; the socket itself may go on. */
  if (socket->fd >= 0 && !uv_is_active(poll)) uv_poll_start(poll, UV_READABLE, on_readable);
}

/* ---- life ---- */

static void free_poll(void *poll) {
  free(uv_handle_get_data(poll));
  free(poll);
}

static void shut(void *data) {
  Socket *socket = data;
  if (socket->fd < 0) return;
  uv_poll_stop(socket->poll);
  close(socket->fd);
  socket->fd = -1;
  if (socket->group_fd >= 0) close(socket->group_fd);
  napi_delete_reference(socket->env, socket->on_data);
  napi_delete_reference(socket->env, socket->on_error);
  napi_async_destroy(socket->env, socket->context);
  uv_close(socket->poll, free_poll);
}

/*
 * A handle given to JavaScript is a small box that names the socket: the box lives as long as JavaScript
 * holds it, the socket until it is closed.
 */
typedef struct {
  Socket *socket;
} Box;

static void free_box(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

static Box *box_of(napi_env env, napi_value value) {
  Box *box = NULL;
  if (napi_get_value_external(env, value, (void **)&box) != napi_ok) return NULL;
  return box;
}

static napi_value adopt(napi_env env, int fd, int group_fd, unsigned interface, napi_value on_data, napi_value on_error) {
  Socket *socket = calloc(1, sizeof *socket);
  *socket = (Socket){.env = env, .fd = fd, .group_fd = group_fd, .interface = interface};
  napi_create_reference(env, on_data, 1, &socket->on_data);
  napi_create_reference(env, on_error, 1, &socket->on_error);
  napi_value name;
  napi_create_string_utf8(env, "fairlead.socket", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, NULL, name, &socket->context);

  struct uv_loop_s *loop;
  napi_get_uv_event_loop(env, &loop);
  socket->poll = calloc(1, uv_handle_size(UV_POLL));
  uv_poll_init(loop, socket->poll, fd);
  uv_handle_set_data(socket->poll, socket);
  uv_poll_start(socket->poll, UV_READABLE, on_readable);
  napi_add_env_cleanup_hook(env, shut, socket);

  Box *box = malloc(sizeof *box);
  box->socket = socket;
  napi_value result;
  napi_create_external(env, box, free_box, NULL, &result);
  return result;
}

/* ---- namespaces: a socket belongs to the network namespace in which it was made ---- */

static int enter(const char *path) {
  if (!path[0]) return -1;
  int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  int target = open(path, O_RDONLY | O_CLOEXEC);
  int error = target < 0 ? errno : setns(target, CLONE_NEWNET) < 0 ? errno : 0;
  if (target >= 0) close(target);
  if (!error) return home;
  close(home);
  errno = error;
  return -2;
}

static void leave(int home) {
  if (home < 0) return;
  int error = errno;
  if (setns(home, CLONE_NEWNET) < 0) abort(); /* every later socket would be made in a foreign namespace */
  close(home);
  errno = error;
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

/* -1 with errno set when it cannot be had. */
static int packet_socket(const char *name, bool ndp, unsigned *interface, int *group_fd) {
  /* Protocol 0 receives nothing until the filter stands and the interface is chosen. */
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  *interface = if_nametoindex(name);
  struct sock_fprog program = {sizeof ndp_filter / sizeof ndp_filter[0], ndp_filter};
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET,
      .sll_protocol = htons(ndp ? ETH_P_IPV6 : ETH_P_ARP),
      .sll_ifindex = (int)*interface,
  };
  if (*interface == 0 || (ndp && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0) ||
      bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  if (ndp) *group_fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return fd;
}

static napi_value open_packet(napi_env env, napi_callback_info info) {
  size_t count = 5;
  napi_value arguments[5];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  char name[IF_NAMESIZE] = "", protocol[8] = "", namespace[256] = "";
  napi_get_value_string_utf8(env, arguments[0], name, sizeof name, NULL);
  napi_get_value_string_utf8(env, arguments[1], protocol, sizeof protocol, NULL);
  napi_get_value_string_utf8(env, arguments[2], namespace, sizeof namespace, NULL);

  int home = enter(namespace);
  if (home == -2) return throw_errno(env, errno, "entering the network namespace");
  unsigned interface = 0;
  int group_fd = -1;
  int fd = packet_socket(name, strcmp(protocol, "ndp") == 0, &interface, &group_fd);
  leave(home);
  if (fd < 0) {
    if (errno == EPERM) return throw_errno(env, errno, "opening a packet socket needs the capability CAP_NET_RAW");
    char doing[64];
    snprintf(doing, sizeof doing, "opening a packet socket on %s", name);
    return throw_errno(env, errno, doing);
  }
  return adopt(env, fd, group_fd, interface, arguments[3], arguments[4]);
}

static napi_value set_group(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  Box *box = box_of(env, arguments[0]);
  if (!box || box->socket == NULL) return throw_errno(env, EBADF, "joining a group");
  char text[INET6_ADDRSTRLEN] = "";
  bool join = false;
  napi_get_value_string_utf8(env, arguments[1], text, sizeof text, NULL);
  napi_get_value_bool(env, arguments[2], &join);
  struct ipv6_mreq request = {.ipv6mr_interface = box->socket->interface};
  if (inet_pton(AF_INET6, text, &request.ipv6mr_multiaddr) != 1) return throw_errno(env, EINVAL, "joining a group");
  int option = join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP;
  if (setsockopt(box->socket->group_fd, IPPROTO_IPV6, option, &request, sizeof request) < 0 && errno != EADDRINUSE &&
      errno != EADDRNOTAVAIL)
    return throw_errno(env, errno, join ? "joining a group" : "leaving a group");
  return NULL;
}

/* ---- AF_NETLINK ---- */

static void enlarge(int fd, int forced, int plain) {
  int size = NETLINK_BUFFER;
  if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) < 0) setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

static napi_value open_netlink(napi_env env, napi_callback_info info) {
  size_t count = 5;
  napi_value arguments[5];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  int32_t protocol = 0;
  char namespace[256] = "";
  napi_get_value_int32(env, arguments[0], &protocol);
  napi_get_value_string_utf8(env, arguments[2], namespace, sizeof namespace, NULL);

  int home = enter(namespace);
  if (home == -2) return throw_errno(env, errno, "entering the network namespace");
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  leave(home);
  if (fd < 0) return throw_errno(env, errno, "opening a netlink socket");
  int on = 1;
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  enlarge(fd, SO_RCVBUFFORCE, SO_RCVBUF);
  enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  int failed = bind(fd, (struct sockaddr *)&address, sizeof address);
  uint32_t groups = 0;
  napi_get_array_length(env, arguments[1], &groups);
  for (uint32_t i = 0; i < groups && failed == 0; i++) {
    napi_value element;
    int32_t group = 0;
    napi_get_element(env, arguments[1], i, &element);
    napi_get_value_int32(env, element, &group);
    failed = setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group);
  }
  if (failed) {
    int error = errno;
    close(fd);
    return throw_errno(env, error, "binding a netlink socket (multicast groups need the capability CAP_NET_ADMIN)");
  }
  return adopt(env, fd, -1, 0, arguments[3], arguments[4]);
}

/* ---- both ---- */

static napi_value send_bytes(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  Box *box = box_of(env, arguments[0]);
  if (!box || box->socket == NULL) return throw_errno(env, EBADF, "sending");
  void *bytes = NULL;
  size_t length = 0;
  if (napi_get_typedarray_info(env, arguments[1], NULL, &length, &bytes, NULL, NULL) != napi_ok)
    return throw_errno(env, EINVAL, "sending: the data must be a Uint8Array");
  ssize_t sent;
  do {
    sent = send(box->socket->fd, bytes, length, 0);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return throw_errno(env, errno, "sending");
  return NULL;
}

static napi_value close_socket(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  Box *box = box_of(env, argument);
  if (!box || box->socket == NULL) return NULL;
  napi_remove_env_cleanup_hook(env, shut, box->socket);
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
      {"close", NULL, close_socket, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_define_properties(env, exports, sizeof functions / sizeof functions[0], functions);
  return exports;
}

NAPI_MODULE(fairlead_sockets, init)
