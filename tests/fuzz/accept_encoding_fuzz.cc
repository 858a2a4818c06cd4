// What a client's accept-encoding leads to. The first byte says which encodings can be had and which is preferred; the rest is the header.
// The choice is that of a slow model: split, drop what has an unreadable q, drop what is refused, take the best q, the preferred or else
// the first among equals.
#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <absl/strings/strip.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/filters/http/compressor/config.h"

using namespace fairlead::filters::compressor;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

struct Wish {
  std::string name;
  double q;
};

std::vector<Wish> wishes_of(std::string_view header) {
  std::vector<Wish> out;
  for (const std::string& member : std::vector<std::string>(absl::StrSplit(header, ','))) {
    const std::vector<std::string> parts = absl::StrSplit(member, absl::MaxSplits(';', 1));
    const std::string name(absl::StripAsciiWhitespace(parts[0]));
    double q = 1;
    bool readable = true;
    if (parts.size() > 1) {
      const std::vector<std::string> parameter = absl::StrSplit(parts[1], absl::MaxSplits('=', 1));
      const std::string_view key = absl::StripAsciiWhitespace(parameter[0]);
      if (parameter.size() > 1 && (key == "q" || key == "Q")) readable = absl::SimpleAtod(absl::StripAsciiWhitespace(parameter[1]), &q);
    }
    if (readable && !name.empty()) out.push_back({name, q});
  }
  return out;
}

// "gzip", "identity", "*gzip", or "" for nothing.
std::string model(std::string_view header, const std::vector<std::string>& offered, const std::string& preferred) {
  const std::vector<Wish> wishes = wishes_of(header);
  std::set<std::string> refused;
  for (const Wish& wish : wishes) {
    if (wish.q == 0) refused.insert(wish.name);
  }
  std::vector<std::string> left;
  for (const std::string& encoding : offered) {
    if (!refused.contains(encoding)) left.push_back(encoding);
  }
  if (left.empty()) return "";
  std::vector<Wish> possible;
  double best = 0;
  for (const Wish& wish : wishes) {
    const bool known = wish.name == "identity" || wish.name == "*" || std::find(left.begin(), left.end(), wish.name) != left.end();
    if (!known || !(wish.q > 0)) continue;
    possible.push_back(wish);
    best = std::max(best, wish.q);
  }
  std::string chosen;
  for (const Wish& wish : possible) {
    if (wish.q != best) continue;
    if (chosen.empty()) chosen = wish.name;
    if (wish.name == preferred) chosen = preferred;
  }
  return chosen == "*" ? "*" + left.front() : chosen;
}

std::string chosen(std::string_view header, const std::vector<std::string>& offered, const std::string& preferred) {
  std::vector<Offer> offers;
  for (const std::string& encoding : offered) offers.push_back({encoding});
  const Choice choice = choose(header, offers.data(), offers.size(), preferred);
  switch (choice.kind) {
    case Choice::Kind::Encoding: return std::string(choice.encoding);
    case Choice::Kind::Identity: return "identity";
    case Choice::Kind::Wildcard: return "*" + std::string(choice.encoding);
    case Choice::Kind::Nothing: break;
  }
  return "";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string all[] = {"gzip", "br", "zstd"};
  std::vector<std::string> offered;
  for (size_t i = 0; i < 3; ++i) {
    if ((data[0] >> i & 1) != 0) offered.push_back(all[i]);
  }
  if ((data[0] & 8) != 0) std::reverse(offered.begin(), offered.end());
  const size_t preferred = data[0] >> 4 & 3;
  const std::string_view header(reinterpret_cast<const char*>(data) + 1, size - 1);
  require(chosen(header, offered, preferred < 3 ? all[preferred] : "") == model(header, offered, preferred < 3 ? all[preferred] : ""));
  return 0;
}
