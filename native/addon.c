/*
 * The sockets that Node lacks: AF_PACKET for whole Ethernet frames, AF_NETLINK for the kernel's tables.
 * It only opens, reads, sends and closes; every frame and message is built and parsed in TypeScript. The exception
 * is answering.c, where a thread answers ARP and NDP for a table of addresses.
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
#include "socket.h"

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
