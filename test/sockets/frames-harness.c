/*
 * Reads frames from standard input, each behind its length (two bytes, most significant first), and hears and answers
 * each from memory of exactly its size, so that the sanitizers see a byte read beyond it. Prints how many it took.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../../native/frames.h"

int main(void) {
  static const uint8_t mac[6] = {2, 0, 0, 0, 0, 10};
  unsigned frames = 0;
  for (int high; (high = getchar()) != EOF; frames++) {
    size_t length = (size_t)high << 8 | (size_t)getchar();
    uint8_t *frame = malloc(length), answer[LONGEST_ANSWER];
    if (fread(frame, 1, length, stdin) != length) return 1;
    Heard arp = hear_arp(frame, length), ndp = hear_ndp(frame, length);
    if (arp.whole && arp.asks) answer_arp(frame, mac, answer);
    if (ndp.whole && ndp.asks) answer_ndp(frame, mac, answer);
    free(frame);
  }
  printf("%u\n", frames);
  return 0;
}
