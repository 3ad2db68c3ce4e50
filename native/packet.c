/* AF_PACKET: whole Ethernet frames of ARP or of neighbour discovery, and the IPv6 groups that the latter is sent to. */
#define _GNU_SOURCE
#include "socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

bool make_packet_socket(Socket *made, const char *interface, bool ndp) {
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

napi_value open_packet(napi_env env, napi_callback_info info) {
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

napi_value set_group(napi_env env, napi_callback_info info) {
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
