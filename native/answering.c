/* See answering.h. */
#define _GNU_SOURCE
#include "answering.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  BATCH = 32,         /* frames a system call */
  LONGEST_FRAME = 2048, /* the longest neighbour message that makes sense; what is longer is truncated, and dropped */
  FIRST_SLOTS = 64,   /* a power of two */
  CLAIMS_A_WINDOW = 32,
};
/* Nanoseconds. Each address is told of once in its window, and few in the other: a storm of forged frames wakes nobody. */
static const int64_t ADDRESS_WINDOW = 15 * 1000 * 1000, CLAIM_WINDOW = 50 * 1000 * 1000;

typedef struct {
  Address address;
  bool used;
  uint8_t refusal;
  int64_t until;
  const _Atomic int64_t *shared; /* where another thread says until when; NULL: `until` does */
  int64_t told;
} Slot;

struct Answering {
  AnsweringPlace place;
  pthread_t thread;
  int stop;  /* an eventfd */
  int tell;  /* the thread's end of the socket for claims */
  _Atomic int error;
  _Atomic uint64_t counts[COUNTS];
  /* The lock is held over the lookup, the look at the clock and the sending: what is removed has fallen silent. */
  pthread_mutex_t lock;
  Slot *slots;
  size_t slot_count, used_count;
  int64_t window; /* of claims: its start, and how many were told in it */
  int told;
};

static void count(Answering *answering, Count which) {
  atomic_fetch_add_explicit(&answering->counts[which], 1, memory_order_relaxed);
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static bool may_answer(const Slot *slot) {
  return (slot->shared ? atomic_load(slot->shared) : slot->until) > now();
}

/* ---- the table: open addressing, at most half full ---- */

static size_t home_of(const Answering *answering, const Address *address) {
  uint64_t parts[2];
  memcpy(parts, address->bytes, 16);
  uint64_t hash = (parts[0] ^ (parts[1] * 0x9e3779b97f4a7c15u)) * 0xff51afd7ed558ccdu;
  return (hash ^ hash >> 32) & (answering->slot_count - 1);
}

/* The slot of the address, or the free one where it would be. */
static Slot *slot_of(const Answering *answering, const Address *address) {
  size_t at = home_of(answering, address);
  while (answering->slots[at].used && memcmp(&answering->slots[at].address, address, sizeof *address) != 0)
    at = (at + 1) & (answering->slot_count - 1);
  return &answering->slots[at];
}

static Slot *find(const Answering *answering, const Address *address) {
  Slot *slot = slot_of(answering, address);
  return slot->used ? slot : NULL;
}

static bool grow(Answering *answering) {
  size_t old_count = answering->slot_count;
  Slot *old = answering->slots, *slots = calloc(old_count * 2, sizeof *slots);
  if (!slots) return false;
  answering->slots = slots;
  answering->slot_count = old_count * 2;
  for (size_t i = 0; i < old_count; i++)
    if (old[i].used) *slot_of(answering, &old[i].address) = old[i];
  free(old);
  return true;
}

bool answering_set(Answering *answering, const Address *address, int64_t until, const void *shared, Count refusal) {
  pthread_mutex_lock(&answering->lock);
  Slot *slot = find(answering, address);
  bool done = slot || 2 * (answering->used_count + 1) <= answering->slot_count || grow(answering);
  if (done && !slot) {
    slot = slot_of(answering, address);
    *slot = (Slot){.address = *address, .used = true, .told = INT64_MIN};
    answering->used_count++;
  }
  if (done) {
    slot->until = until;
    slot->shared = shared;
    slot->refusal = (uint8_t)refusal;
  }
  pthread_mutex_unlock(&answering->lock);
  return done;
}

void answering_remove(Answering *answering, const Address *address) {
  pthread_mutex_lock(&answering->lock);
  Slot *slot = find(answering, address);
  if (slot) {
    slot->used = false;
    answering->used_count--;
    /* What follows without a gap may have had to step over this slot: each finds its place anew. */
    size_t mask = answering->slot_count - 1, at = (size_t)(slot - answering->slots);
    for (at = (at + 1) & mask; answering->slots[at].used; at = (at + 1) & mask) {
      Slot moved = answering->slots[at];
      answering->slots[at].used = false;
      *slot_of(answering, &moved.address) = moved;
    }
  }
  pthread_mutex_unlock(&answering->lock);
}

/* ---- sending ---- */

static int send_on(int fd, const void *frame, size_t length) {
  ssize_t sent;
  do {
    sent = send(fd, frame, length, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

static int socket_for(const Answering *answering, const void *frame, size_t length) {
  const uint8_t *bytes = frame;
  bool arp = length > 13 && bytes[12] == 0x08 && bytes[13] == 0x06;
  return arp ? answering->place.arp : answering->place.ndp;
}

int answering_send(Answering *answering, const void *frame, size_t length) {
  return send_on(socket_for(answering, frame, length), frame, length);
}

int answering_announce(Answering *answering, const Address *address, const void *frame, size_t length) {
  pthread_mutex_lock(&answering->lock);
  const Slot *slot = find(answering, address);
  bool refused = !slot || !may_answer(slot);
  Count why = !slot ? NOT_OUR_ADDRESS : refused ? slot->refusal : SEND_FAILED;
  int result = refused || answering_send(answering, frame, length) != 0 ? -1 : 0;
  pthread_mutex_unlock(&answering->lock);
  if (result < 0) count(answering, why);
  return result;
}

/* ---- the thread ---- */

/* Under the lock. Whether JavaScript is to hear of this slot now. */
static bool is_worth_telling(Answering *answering, Slot *slot) {
  int64_t time = now();
  if (time - answering->window > CLAIM_WINDOW) {
    answering->window = time;
    answering->told = 0;
  }
  if (answering->told >= CLAIMS_A_WINDOW || time < slot->told + ADDRESS_WINDOW) return false;
  slot->told = time;
  answering->told++;
  return true;
}

static void tell(Answering *answering, Slot *slot, const uint8_t *frame, size_t length) {
  /* Where JavaScript is too busy to read, the frame is lost, as frames are. */
  if (is_worth_telling(answering, slot)) send_on(answering->tell, frame, length);
}

typedef struct {
  int fd;
  Count received, answered;
  Heard (*hear)(const uint8_t *frame, size_t length);
  size_t (*answer)(const uint8_t *request, const uint8_t mac[6], uint8_t answer[LONGEST_ANSWER]);
} Protocol;

static void on_frame(Answering *answering, const Protocol *protocol, const uint8_t *frame, size_t length) {
  count(answering, protocol->received);
  Heard heard = protocol->hear(frame, length);
  if (!heard.whole) {
    count(answering, heard.drop);
    return;
  }
  const uint8_t *mac = answering->place.mac;
  bool foreign = memcmp(heard.claimant, mac, 6) != 0;
  pthread_mutex_lock(&answering->lock);
  Slot *claimed = heard.claims && foreign ? find(answering, &heard.claimed) : NULL;
  if (claimed) tell(answering, claimed, frame, length);
  Slot *asked = heard.asks ? find(answering, &heard.asked) : NULL;
  Count result = !heard.asks ? NOT_A_REQUEST : NOT_OUR_ADDRESS;
  if (asked && may_answer(asked)) {
    uint8_t answer[LONGEST_ANSWER];
    size_t size = protocol->answer(frame, mac, answer);
    result = send_on(protocol->fd, answer, size) == 0 ? protocol->answered : SEND_FAILED;
  } else if (asked) {
    result = asked->refusal;
    if (heard.anonymous && foreign) tell(answering, asked, frame, length);
  }
  pthread_mutex_unlock(&answering->lock);
  count(answering, result);
}

typedef struct {
  uint8_t bytes[BATCH][LONGEST_FRAME];
  struct sockaddr_ll from[BATCH];
  struct iovec pieces[BATCH];
  struct mmsghdr messages[BATCH];
} Inbox;

/*
 * A packet socket of one protocol sees neither our own frames nor, once the kernel has taken a VLAN tag off, that
 * there was one. But a frame for a VLAN that we lack is marked as another host's, and one for a VLAN or bond device
 * on top of our interface carries that device's index: both are not for us.
 */
static bool is_for_us(const Answering *answering, const struct sockaddr_ll *from) {
  unsigned char type = from->sll_pkttype;
  return from->sll_ifindex == answering->place.interface &&
         (type == PACKET_HOST || type == PACKET_BROADCAST || type == PACKET_MULTICAST);
}

/* Takes a batch of frames. 0, or the errno that ends the answering. */
static int take(Answering *answering, const Protocol *protocol, Inbox *inbox) {
  for (int i = 0; i < BATCH; i++) {
    inbox->pieces[i] = (struct iovec){inbox->bytes[i], LONGEST_FRAME};
    inbox->messages[i].msg_hdr = (struct msghdr){
        .msg_name = &inbox->from[i],
        .msg_namelen = sizeof inbox->from[i],
        .msg_iov = &inbox->pieces[i],
        .msg_iovlen = 1,
    };
  }
  int received = recvmmsg(protocol->fd, inbox->messages, BATCH, MSG_DONTWAIT, NULL);
  if (received < 0) return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : errno;
  for (int i = 0; i < received; i++) {
    const struct mmsghdr *message = &inbox->messages[i];
    if (!is_for_us(answering, &inbox->from[i])) continue;
    if (message->msg_hdr.msg_flags & MSG_TRUNC) {
      count(answering, protocol->received);
      count(answering, TRUNCATED);
    } else on_frame(answering, protocol, inbox->bytes[i], message->msg_len);
  }
  return 0;
}

static void *run(void *argument) {
  Answering *answering = argument;
  const Protocol protocols[] = {
      {answering->place.arp, RECEIVED_ARP, ANSWERED_ARP, hear_arp, answer_arp},
      {answering->place.ndp, RECEIVED_NDP, ANSWERED_NDP, hear_ndp, answer_ndp},
  };
  Inbox *inbox = calloc(1, sizeof *inbox);
  struct pollfd polled[] = {
      {.fd = answering->place.arp, .events = POLLIN},
      {.fd = answering->place.ndp, .events = POLLIN},
      {.fd = answering->stop, .events = POLLIN},
  };
  int error = inbox ? 0 : ENOMEM;
  while (!error) {
    if (poll(polled, 3, -1) < 0 && errno != EINTR) error = errno;
    if (polled[2].revents) break;
    for (int i = 0; i < 2 && !error; i++)
      if (polled[i].revents) error = take(answering, &protocols[i], inbox);
  }
  free(inbox);
  atomic_store(&answering->error, error);
  shutdown(answering->tell, SHUT_WR); /* the other end reads that nothing more comes */
  return NULL;
}

/* ---- life ---- */

static void dispose(Answering *answering) {
  pthread_mutex_destroy(&answering->lock);
  if (answering->stop >= 0) close(answering->stop);
  if (answering->tell >= 0) close(answering->tell);
  free(answering->slots);
  free(answering);
}

static int start_thread(Answering *answering) {
  sigset_t all, before;
  sigfillset(&all); /* signals are for Node's own threads */
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&answering->thread, NULL, run, answering);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!error) pthread_setname_np(answering->thread, "fairlead-answer");
  return error;
}

Answering *answering_start(const AnsweringPlace *place, int *claims) {
  Answering *answering = calloc(1, sizeof *answering);
  if (!answering) return NULL;
  answering->place = *place;
  answering->slot_count = FIRST_SLOTS;
  answering->slots = calloc(FIRST_SLOTS, sizeof *answering->slots);
  pthread_mutex_init(&answering->lock, NULL);
  answering->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  answering->tell = -1;
  int ends[2] = {-1, -1};
  int error = answering->slots ? 0 : ENOMEM;
  if (!error && answering->stop < 0) error = errno;
  if (!error && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0) error = errno;
  if (!error) {
    answering->tell = ends[1];
    error = start_thread(answering);
  }
  if (!error) {
    *claims = ends[0];
    return answering;
  }
  if (ends[0] >= 0) close(ends[0]);
  dispose(answering);
  errno = error;
  return NULL;
}

void answering_stop(Answering *answering) {
  uint64_t one = 1;
  if (write(answering->stop, &one, sizeof one) != sizeof one) abort(); /* an eventfd at 0 takes a 1 */
  pthread_join(answering->thread, NULL);
  close(answering->place.arp);
  close(answering->place.ndp);
  dispose(answering);
}

void answering_counts(const Answering *answering, double counts[COUNTS]) {
  for (int i = 0; i < COUNTS; i++)
    counts[i] = (double)atomic_load_explicit(&answering->counts[i], memory_order_relaxed);
}

int answering_error(const Answering *answering) { return atomic_load(&answering->error); }
