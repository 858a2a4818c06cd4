// Lists and watch streams of an API server, cut into their objects. The first byte says where the text is cut into two pieces. The same comes out wherever
// that is; and of what is JSON, a list's items are those that its parser finds.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/kubernetes/json_splitter.h"
#include "base/doc.h"

using fairlead::adapters::kubernetes::JsonSplitter;
namespace doc = fairlead::doc;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

struct Split {
  std::vector<std::string> values;
  std::string around;
  bool good = true, whole = false;
};

Split split(JsonSplitter::Mode mode, std::string_view text, size_t cut) {
  Split out;
  JsonSplitter splitter(mode, [&](std::string_view value) { out.values.emplace_back(value); return true; });
  for (std::string_view piece : {text.substr(0, cut), text.substr(cut)}) out.good = out.good && splitter.feed(piece).ok();
  out.around = splitter.around();
  out.whole = splitter.whole();
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t cut = std::min<size_t>(data[0], text.size());
  for (const JsonSplitter::Mode mode : {JsonSplitter::Mode::kValues, JsonSplitter::Mode::kItems}) {
    const Split one = split(mode, text, text.size()), two = split(mode, text, cut);
    require(one.good == two.good);
    if (!one.good) continue;
    require(one.values == two.values && one.around == two.around && one.whole == two.whole);
    const auto parsed = doc::parse_json(text, "");
    // a key may be written with escapes, which no API server does
    if (mode == JsonSplitter::Mode::kValues || !parsed.ok() || !parsed->is_map() || text.find('\\') != std::string_view::npos) continue;
    const doc::Value* items = parsed->find("items");
    require(one.whole);
    if (items == nullptr || !items->is_list()) {
      require(one.values.empty());
      continue;
    }
    require(one.values.size() == items->size());
    for (size_t i = 0; i < one.values.size(); ++i) {
      const auto value = doc::parse_json(one.values[i], "");
      require(value.ok() && *value == items->items()[i]);
    }
    const auto around = doc::parse_json(one.around, "");
    require(around.ok() && *around == doc::with(*parsed, "items", doc::list({})));
  }
  return 0;
}
