// Whether the first bytes of a connection are HTTP, and which. Pure. Any prefix of a stream gets kMore or the verdict that the whole would get.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fairlead::filters::listener::http_inspector {

inline constexpr size_t kMaxRequestLine = 64 * 1024;  // Envoy 1.40: 64 KiB without a verdict close the connection

enum class Verdict : uint8_t { kMore, kHttp10, kHttp11, kHttp2, kNotHttp };

Verdict inspect(std::string_view stream);

}  // namespace fairlead::filters::listener::http_inspector
