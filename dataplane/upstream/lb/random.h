// A small fast pseudo-random generator (xorshift128+ seeded through splitmix64), one per worker. Used for load balancing, jitter and
// sampling, where speed counts and prediction by an attacker gains nothing. Not for secrets or for identifiers that must be unguessable.
// Single-threaded; the owner is the worker. Equal seeds give equal sequences, which tests rely on.
#pragma once

#include <cstdint>

namespace fairlead::upstream {

class Random {
 public:
  explicit Random(uint64_t seed) : a_(mix(seed)), b_(mix(seed + 0x632be59bd9b4e019ULL)) {}

  uint64_t next() {
    uint64_t x = a_;
    const uint64_t y = b_;
    a_ = y;
    x ^= x << 23;
    b_ = x ^ y ^ (x >> 17) ^ (y >> 26);
    return b_ + y;
  }

  // Uniform in [0, bound); 0 when bound is 0.
  uint64_t below(uint64_t bound) { return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64); }

 private:
  static uint64_t mix(uint64_t z) {
    z += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (z ^ (z >> 31)) | 1;
  }

  uint64_t a_, b_;
};

}  // namespace fairlead::upstream
