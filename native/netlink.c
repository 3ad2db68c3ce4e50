/* AF_NETLINK: messages of the kernel's tables. */
#define _GNU_SOURCE
#include "socket.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

napi_value open_netlink(napi_env env, napi_callback_info info) {
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
