// Message digests as lower-case hex, for fingerprints and pins. Pure; any thread. MD5 is for names that others have fixed (JA3), never for trust.
#pragma once

#include <string>
#include <string_view>

namespace fairlead {

std::string md5_hex(std::string_view bytes);     // 32 digits
std::string sha256_hex(std::string_view bytes);  // 64 digits

}  // namespace fairlead
