/* The face of answering.c towards JavaScript. */
#define _GNU_SOURCE
#include "socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

napi_value open_answering(napi_env env, napi_callback_info info) {
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
napi_value set_answer(napi_env env, napi_callback_info info) {
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
napi_value share_answer(napi_env env, napi_callback_info info) {
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

napi_value remove_answer(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  Address address;
  Socket *socket = answering_of(env, arguments, &address, "withdrawing an address");
  if (socket) answering_remove(socket->answering, &address);
  return NULL;
}

napi_value announce(napi_env env, napi_callback_info info) {
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

napi_value counts(napi_env env, napi_callback_info info) {
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
