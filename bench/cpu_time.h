// CPU time of a piece of work, for the micro benchmarks.
#pragma once

#include <ctime>

namespace fairlead::bench {

/// Milliseconds of CPU, of all threads, that `work` takes; in steps of a microsecond.
template <class Work>
double milliseconds_of(const Work& work) {
  const std::clock_t begin = std::clock();
  work();
  return 1000.0 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

}  // namespace fairlead::bench
