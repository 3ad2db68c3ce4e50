/*
 * Answers ARP requests and neighbour solicitations for a table of addresses, on a thread of its own: JavaScript that
 * is busy delays no answer, and a right that has ended is not outlived, whatever JavaScript does. JavaScript fills
 * the table; it is woken only by frames in which another host speaks for an address of the table.
 */
#ifndef FAIRLEAD_ANSWERING_H
#define FAIRLEAD_ANSWERING_H

#include "frames.h"

typedef struct Answering Answering;

typedef struct {
  int arp;       /* AF_PACKET sockets that do not block, which it closes in the end */
  int ndp;
  int interface; /* their index */
  uint8_t mac[6];
} AnsweringPlace;

/*
 * Starts the thread; NULL with errno set, and nothing closed, when it cannot. `*claims`: a socket that does not
 * block, and is the caller's; from it come the frames for JavaScript, and its end when the interface broke.
 */
Answering *answering_start(const AnsweringPlace *place, int *claims);

/* From when this returns, nothing is answered any more. */
void answering_stop(Answering *answering);

/*
 * Requests for the address are answered until `until`, nanoseconds on CLOCK_MONOTONIC; from then on they are counted
 * as `refusal`. `shared`, unless NULL, is an int64_t in which another thread says that in place of `until`, anew as it
 * likes; it must outlive the answering. False when there is no memory.
 */
bool answering_set(Answering *answering, const Address *address, int64_t until, const void *shared, Count refusal);
/* From when this returns, the address is not answered for. */
void answering_remove(Answering *answering, const Address *address);

/* Sends a frame that speaks for the address, if the right to it lasts. 0, or -1 where it did not leave (counted). */
int answering_announce(Answering *answering, const Address *address, const void *frame, size_t length);
/* Sends a frame that speaks for nobody. 0, or the errno. */
int answering_send(Answering *answering, const void *frame, size_t length);

void answering_counts(const Answering *answering, double counts[COUNTS]);
/* The errno that ended the answering, once the socket for claims has ended. */
int answering_error(const Answering *answering);

#endif
