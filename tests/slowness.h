// How much slower than usual this build may be: what limits of time in tests are multiplied with.
#pragma once

namespace fairlead::testing {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
inline constexpr int kSlowness = 10;
#else
inline constexpr bool kSanitized = false;
inline constexpr int kSlowness = 1;
#endif

}  // namespace fairlead::testing
