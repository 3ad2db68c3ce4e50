/*
 * What the answering thread understands of ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861): one whole
 * frame to what it asks or claims, and the answer to it. Pure: no sockets, no memory of its own.
 * src/arp/{arp-frame,ndp-frame}.ts say the same in TypeScript; test/sockets/answering-socket.test.ts holds the two
 * to each other, frame by frame.
 */
#ifndef FAIRLEAD_FRAMES_H
#define FAIRLEAD_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order of ANSWER_COUNTS in src/sockets/answering-socket.ts. */
typedef enum {
  RECEIVED_ARP,
  RECEIVED_NDP,
  ANSWERED_ARP,
  ANSWERED_NDP,
  TRUNCATED,
  WRONG_PROTOCOL,
  NOT_A_REQUEST,
  BAD_HOP_LIMIT,
  BAD_CHECKSUM,
  BAD_OPTION,
  BAD_SENDER,
  NOT_OUR_ADDRESS,
  WRONG_INTERFACE,
  NO_RIGHT,
  BEING_CHECKED,
  ADDRESS_CONFLICT,
  SEND_FAILED,
  COUNTS
} Count;

/* An IPv4 address as ::ffff:a.b.c.d, which never is on a wire as such (RFC 4291 section 2.5.5.2). */
typedef struct {
  uint8_t bytes[16];
} Address;

typedef struct {
  bool whole;        /* otherwise `drop` says what is wrong */
  Count drop;
  bool asks;         /* a request for `asked` */
  bool anonymous;    /* the asker has no address yet: it checks whether it may use this one */
  Address asked;
  bool claims;       /* the sender says that `claimed` is at `claimant` */
  Address claimed;
  uint8_t claimant[6];
} Heard;

enum { LONGEST_ANSWER = 86 };

Heard hear_arp(const uint8_t *frame, size_t length);
Heard hear_ndp(const uint8_t *frame, size_t length);

/* The answer to a frame that was heard as a request; its length. `mac`: where the address is. */
size_t answer_arp(const uint8_t *request, const uint8_t mac[6], uint8_t answer[LONGEST_ANSWER]);
size_t answer_ndp(const uint8_t *request, const uint8_t mac[6], uint8_t answer[LONGEST_ANSWER]);

#endif
