/* See frames.h. */
#include "frames.h"

#include <string.h>

enum {
  ETHERNET = 14,
  ETHERTYPE_ARP = 0x0806,
  ARP_BODY = 28,
  SHORTEST_FRAME = 60, /* Ethernet's, without its checksum */
  ETHERTYPE_IPV6 = 0x86dd,
  BODY = ETHERNET + 40, /* where ICMPv6 begins */
  ICMPV6 = 58,
  SOLICITATION = 135,
  ADVERTISEMENT = 136,
  HOP_LIMIT = 255, /* RFC 4861 section 7.1: a packet that was forwarded has less, and is not a neighbour's */
  FIXED = 24,      /* type, code, checksum, flags, target */
  SOURCE_LINK_LAYER = 1,
  TARGET_LINK_LAYER = 2,
};

static const uint8_t UNSPECIFIED[16] = {0};
static const uint8_t ALL_NODES[16] = {0xff, 2, [15] = 1};
static const uint8_t ALL_NODES_MAC[6] = {0x33, 0x33, 0, 0, 0, 1};

static unsigned word(const uint8_t *at) { return (unsigned)at[0] << 8 | at[1]; }

static void put_word(uint8_t *at, unsigned value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static Heard malformed(Count drop) { return (Heard){.whole = false, .drop = drop}; }

static Address ipv4(const uint8_t *at) {
  Address address = {{[10] = 0xff, [11] = 0xff}};
  memcpy(address.bytes + 12, at, 4);
  return address;
}

static Address ipv6(const uint8_t *at) {
  Address address;
  memcpy(address.bytes, at, 16);
  return address;
}

/* ---- ARP ---- */

Heard hear_arp(const uint8_t *frame, size_t length) {
  if (length < ETHERNET + ARP_BODY) return malformed(TRUNCATED);
  const uint8_t *body = frame + ETHERNET;
  unsigned operation = word(body + 6);
  bool is_arp = word(frame + 12) == ETHERTYPE_ARP && word(body) == 1 && word(body + 2) == 0x0800 && body[4] == 6 &&
                body[5] == 4;
  if (!is_arp || (operation != 1 && operation != 2)) return malformed(WRONG_PROTOCOL);
  /* The answer goes to the sender: to a group's address, which has the lowest bit set, it would go to many. */
  if (body[8] & 1) return malformed(BAD_SENDER);
  Heard heard = {.whole = true, .drop = NOT_A_REQUEST, .asks = operation == 1};
  heard.anonymous = memcmp(body + 14, UNSPECIFIED, 4) == 0;
  heard.asked = ipv4(body + 24);
  heard.claims = !heard.anonymous;
  heard.claimed = ipv4(body + 14);
  memcpy(heard.claimant, body + 8, 6);
  return heard;
}

size_t answer_arp(const uint8_t *request, const uint8_t mac[6], uint8_t answer[LONGEST_ANSWER]) {
  const uint8_t *asker = request + ETHERNET + 8; /* MAC, then address */
  uint8_t *body = answer + ETHERNET;
  memset(answer, 0, SHORTEST_FRAME);
  memcpy(answer, asker, 6);
  memcpy(answer + 6, mac, 6);
  memcpy(answer + 12, request + 12, 8); /* EtherType, kinds and lengths of addresses: those of the request */
  put_word(body + 6, 2);
  memcpy(body + 8, mac, 6);
  memcpy(body + 14, request + ETHERNET + 24, 4);
  memcpy(body + 18, asker, 10);
  return SHORTEST_FRAME;
}

/* ---- neighbour discovery ---- */

/* RFC 4443 section 2.3: over the pseudo-header and the message. Zero over a message that bears its checksum. */
static unsigned checksum(const uint8_t *frame, size_t length) {
  uint32_t sum = (uint32_t)length + ICMPV6;
  for (size_t i = ETHERNET + 8; i < BODY; i += 2) sum += word(frame + i);
  for (size_t i = 0; i + 1 < length; i += 2) sum += word(frame + BODY + i);
  if (length % 2) sum += (uint32_t)frame[BODY + length - 1] << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

/* RFC 4861 section 4.6: an option of length zero makes the whole packet invalid. */
static bool are_whole(const uint8_t *options, size_t length) {
  size_t at = 0;
  while (at + 1 < length && options[at + 1] != 0) at += options[at + 1] * 8u;
  return at == length;
}

/* Of several options of a kind, the last; NULL without one. The options are whole. */
static const uint8_t *link_layer(const uint8_t *options, size_t length, uint8_t kind) {
  const uint8_t *found = NULL;
  for (size_t at = 0; at < length; at += options[at + 1] * 8u)
    if (options[at] == kind && options[at + 1] == 1) found = options + at + 2;
  return found;
}

static const uint8_t *sender_mac(const uint8_t *frame) {
  return link_layer(frame + BODY + FIXED, word(frame + ETHERNET + 4) - FIXED, SOURCE_LINK_LAYER);
}

/* RFC 4861 section 7.1.1: one without an address has no link-layer address to tell; and a group asks nothing. */
static bool may_ask(const uint8_t *sender, const uint8_t *mac) {
  if (memcmp(sender, UNSPECIFIED, 16) == 0) return mac == NULL;
  return sender[0] != 0xff && !(mac && (mac[0] & 1));
}

Heard hear_ndp(const uint8_t *frame, size_t length) {
  if (length < BODY + FIXED) return malformed(TRUNCATED);
  const uint8_t *header = frame + ETHERNET, *message = frame + BODY;
  size_t size = word(header + 4);
  if (word(frame + 12) != ETHERTYPE_IPV6 || header[6] != ICMPV6 || message[1] != 0) return malformed(WRONG_PROTOCOL);
  if (message[0] != SOLICITATION && message[0] != ADVERTISEMENT) return malformed(WRONG_PROTOCOL);
  if (size < FIXED || length < BODY + size) return malformed(TRUNCATED);
  if (header[7] != HOP_LIMIT) return malformed(BAD_HOP_LIMIT);
  if (checksum(frame, size) != 0) return malformed(BAD_CHECKSUM);
  if (!are_whole(message + FIXED, size - FIXED)) return malformed(BAD_OPTION);

  Heard heard = {.whole = true, .drop = NOT_A_REQUEST, .asks = message[0] == SOLICITATION};
  heard.asked = heard.claimed = ipv6(message + 8);
  if (heard.asks) {
    if (!may_ask(header + 8, sender_mac(frame))) return malformed(BAD_SENDER);
    heard.anonymous = memcmp(header + 8, UNSPECIFIED, 16) == 0;
  }
  heard.claims = !heard.asks;
  const uint8_t *told = heard.asks ? NULL : link_layer(message + FIXED, size - FIXED, TARGET_LINK_LAYER);
  memcpy(heard.claimant, told ? told : frame + 6, 6);
  return heard;
}

/* RFC 4861 section 7.2.4: to the one who asked, or to all nodes where the asker has no address yet. */
size_t answer_ndp(const uint8_t *request, const uint8_t mac[6], uint8_t answer[LONGEST_ANSWER]) {
  const uint8_t *asker = request + ETHERNET + 8, *target = request + BODY + 8, *asker_mac = sender_mac(request);
  bool anonymous = memcmp(asker, UNSPECIFIED, 16) == 0;
  uint8_t *header = answer + ETHERNET, *message = answer + BODY;
  enum { SIZE = FIXED + 8 };
  memset(answer, 0, LONGEST_ANSWER);
  memcpy(answer, anonymous ? ALL_NODES_MAC : asker_mac ? asker_mac : request + 6, 6);
  memcpy(answer + 6, mac, 6);
  put_word(answer + 12, ETHERTYPE_IPV6);
  header[0] = 0x60;
  put_word(header + 4, SIZE);
  header[6] = ICMPV6;
  header[7] = HOP_LIMIT;
  memcpy(header + 8, target, 16);
  memcpy(header + 24, anonymous ? ALL_NODES : asker, 16);
  message[0] = ADVERTISEMENT;
  message[4] = anonymous ? 0x20 : 0x60; /* Override, and Solicited where somebody is told alone */
  memcpy(message + 8, target, 16);
  message[FIXED] = TARGET_LINK_LAYER;
  message[FIXED + 1] = 1;
  memcpy(message + FIXED + 2, mac, 6);
  put_word(message + 2, checksum(answer, SIZE));
  return LONGEST_ANSWER;
}
