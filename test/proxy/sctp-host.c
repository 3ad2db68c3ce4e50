// Speaks as much SCTP (RFC 9260) as shows where packets go, over raw sockets, which need no SCTP in the kernel.
//   sctp-host serve 4|6 PORT NAME     answers each INIT by an INIT ACK, whose cookie is NAME and whom it sees
//   sctp-host ask   4|6 ADDRESS PORT  sends an INIT; prints the cookie of the INIT ACK that ADDRESS sends from PORT,
//                                     or "refused", or after a second "no answer"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { COMMON = 12, INIT = 1, INIT_ACK = 2, CHUNK = 20, COOKIE = 7, TAG = 0x0fa1f0ad };

static uint32_t crc32c(const uint8_t *bytes, size_t length) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < length; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

// The checksum is over the packet with zeros in its place, and alone of all fields little-endian (appendix A).
static uint32_t checksum(const uint8_t *packet, size_t length) {
  uint8_t copy[2048];
  memcpy(copy, packet, length);
  memset(copy + 8, 0, 4);
  return crc32c(copy, length);
}

static void put16(uint8_t *at, uint16_t value) { value = htons(value), memcpy(at, &value, 2); }
static void put32(uint8_t *at, uint32_t value) { value = htonl(value), memcpy(at, &value, 4); }
static uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static void die(const char *what) { perror(what), exit(2); }

static void send_chunk(int fd, const struct sockaddr *to, socklen_t size, uint16_t from_port, uint16_t to_port,
                       uint32_t tag, uint8_t type, const char *cookie) {
  uint8_t packet[2048] = {0};
  size_t cookie_size = cookie ? 4 + strlen(cookie) : 0;
  size_t length = COMMON + CHUNK + ((cookie_size + 3) & ~(size_t)3);
  put16(packet, from_port), put16(packet + 2, to_port), memcpy(packet + 4, &tag, 4);
  uint8_t *chunk = packet + COMMON;
  chunk[0] = type, put16(chunk + 2, (uint16_t)(CHUNK + cookie_size));
  put32(chunk + 4, TAG), put32(chunk + 8, 65536), put16(chunk + 12, 1), put16(chunk + 14, 1), put32(chunk + 16, 1);
  if (cookie) {
    put16(chunk + CHUNK, COOKIE), put16(chunk + CHUNK + 2, (uint16_t)cookie_size);
    memcpy(chunk + CHUNK + 4, cookie, strlen(cookie));
  }
  uint32_t sum = checksum(packet, length); // little-endian, as every machine that this runs on
  memcpy(packet + 8, &sum, 4);
  ssize_t sent = to ? sendto(fd, packet, length, 0, to, size) : send(fd, packet, length, 0);
  if (sent < 0 && errno != EPERM) die("send");
}

// A whole packet with the right checksum, or NULL for anything else. IPv4 comes with its header (raw(7)).
static uint8_t *sctp_in(int family, uint8_t *bytes, ssize_t length, size_t *size) {
  size_t header = family == AF_INET && length > 0 ? (size_t)(bytes[0] & 15) * 4 : 0;
  if (length < (ssize_t)(header + COMMON + CHUNK)) return NULL;
  *size = (size_t)length - header;
  uint32_t sum;
  memcpy(&sum, bytes + header + 8, 4);
  return sum == checksum(bytes + header, *size) ? bytes + header : NULL;
}

static void serve(int family, int fd, uint16_t port, const char *name) {
  printf("ready\n"), fflush(stdout);
  for (;;) {
    uint8_t bytes[2048];
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof peer;
    size_t size;
    ssize_t length = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&peer, &peer_size);
    uint8_t *packet = sctp_in(family, bytes, length, &size);
    if (!packet || get16(packet + 2) != port || packet[COMMON] != INIT) continue;
    char address[INET6_ADDRSTRLEN], cookie[256];
    const void *binary = family == AF_INET ? (void *)&((struct sockaddr_in *)&peer)->sin_addr
                                           : (void *)&((struct sockaddr_in6 *)&peer)->sin6_addr;
    inet_ntop(family, binary, address, sizeof address);
    snprintf(cookie, sizeof cookie, "%s %s", name, address);
    uint32_t tag;
    memcpy(&tag, packet + COMMON + 4, 4);
    send_chunk(fd, (struct sockaddr *)&peer, peer_size, port, get16(packet), tag, INIT_ACK, cookie);
  }
}

// Connected: it hears only the address that it asks, and of ICMP errors.
static void ask(int family, int fd, const char *address, uint16_t port) {
  struct sockaddr_storage to = {.ss_family = (sa_family_t)family};
  void *binary = family == AF_INET ? (void *)&((struct sockaddr_in *)&to)->sin_addr
                                   : (void *)&((struct sockaddr_in6 *)&to)->sin6_addr;
  if (inet_pton(family, address, binary) != 1) exit(2);
  socklen_t size = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
  if (connect(fd, (struct sockaddr *)&to, size) < 0) die("connect");
  struct timeval patience = {.tv_sec = 1};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  uint16_t from = (uint16_t)(20000 + getpid() % 40000);
  send_chunk(fd, NULL, 0, from, port, 0, INIT, NULL);
  for (;;) {
    uint8_t bytes[2048] = {0};
    size_t packet_size;
    ssize_t length = recv(fd, bytes, sizeof bytes - 1, 0);
    if (length < 0) {
      puts(errno == ECONNREFUSED ? "refused" : errno == EAGAIN ? "no answer" : strerror(errno));
      return;
    }
    uint8_t *packet = sctp_in(family, bytes, length, &packet_size);
    if (!packet || get16(packet) != port || get16(packet + 2) != from || packet[COMMON] != INIT_ACK) continue;
    printf("%.*s\n", get16(packet + COMMON + CHUNK + 2) - 4, packet + COMMON + CHUNK + 4);
    return;
  }
}

int main(int count, char **words) {
  if (count != 5) return 2;
  int family = strcmp(words[2], "4") == 0 ? AF_INET : AF_INET6;
  int fd = socket(family, SOCK_RAW, IPPROTO_SCTP);
  if (fd < 0) die("socket");
  if (strcmp(words[1], "serve") == 0) serve(family, fd, (uint16_t)atoi(words[3]), words[4]);
  else ask(family, fd, words[3], (uint16_t)atoi(words[4]));
  return 0;
}
