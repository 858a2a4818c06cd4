// The compressor filter's configuration. Pure; also linked by the control plane.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/compression/library.h"
#include "dataplane/config/registry.h"
#include "dataplane/matching/matchers.h"

namespace fairlead::filters::compressor {

struct Direction {
  bool configured = false;  // its message is there
  matching::RuntimeFlag enabled;
  uint32_t min_content_length = 30;  // Envoy 1.40: 30
  std::vector<matching::StringMatcher> content_types;  // of the value before any parameter; never empty
};

struct Config final : config::FilterConfig {
  compression::Library<compression::Compressor> library;
  Direction request, response;
  bool disable_on_etag_header = false;
  bool weaken_etag = false;
  bool remove_accept_encoding = false;
  bool status_header = false;
  bool choose_first = false;
  std::vector<uint32_t> uncompressible_codes;
};

struct RouteConfig final : fairlead::router::PerFilterConfig {
  bool disabled = false;
  std::optional<bool> remove_accept_encoding;
};

// What a client's accept-encoding leads to when these encodings can be had.
struct Choice {
  enum class Kind : uint8_t { Encoding, Identity, Wildcard, Nothing };
  Kind kind = Kind::Nothing;
  std::string_view encoding;  // "" for identity
};
struct Offer {
  std::string_view encoding;
  bool excluded = false;  // the client said q=0; filled by choose()
};
// `offers` in the order in which their filters stand. `preferred`: the one that wins among equals, or empty.
Choice choose(std::string_view accept_encoding, Offer* offers, size_t count, std::string_view preferred);

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::compressor
