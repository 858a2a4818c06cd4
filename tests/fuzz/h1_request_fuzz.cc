// Fuzzes the HTTP/1 server session. The first byte says how many cut points follow; they cut the rest into reads. Whatever the cuts:
// the same requests come out, with the same verdict; after an error nothing more comes; no receiver is called after its end.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/dataplane/http/h1/harness.h"

using namespace fairlead::h1;
using namespace fairlead::h1::test;

namespace {

struct Outcome {
  std::string text;
  std::string error;
};

Outcome run(std::string_view bytes, const std::vector<size_t>& cuts) {
  Settings settings;
  settings.enable_trailers = true;
  settings.accept_http_10 = bytes.size() % 2 == 1;
  settings.max_head_bytes = 600;
  settings.max_headers = 20;
  ServerRig rig(settings);
  bool after_error = false;
  rig.when_head = [&](Message&) { after_error = after_error || !rig.error.empty(); };
  rig.when_ended = [](Message& m) { send(*m.sender, {{":status", "200"}, {"content-length", "0"}}); };
  size_t at = 0;
  for (size_t cut : cuts) {
    if (cut <= at || cut >= bytes.size()) continue;
    rig.write(bytes.substr(at, cut - at));
    rig.settle();
    at = cut;
  }
  rig.write(bytes.substr(at));
  rig.settle();
  Outcome o;
  for (auto& m : rig.requests) {
    if (m->after_end) std::abort();
    o.text += m->has_head ? m->head + "\n" + (m->ended ? m->body + "\n" + m->trailers : std::string("unfinished")) + "\n--\n" : "refused\n";
  }
  o.error = rig.error;
  if (rig.error_calls > 1 || after_error) std::abort();
  return o;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  size_t count = std::min<size_t>(data[0] % 8, size - 1);
  std::vector<size_t> cuts;
  size_t position = 0;
  for (size_t i = 0; i < count; ++i) cuts.push_back(position += data[1 + i]);
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1 + count, size - 1 - count);
  if (bytes.size() > 4000) return 0;
  Outcome whole = run(bytes, {});
  Outcome cut = run(bytes, cuts);
  if (whole.error != cut.error || whole.text != cut.text) {
    std::fprintf(stderr, "whole: %s\n%s\ncut: %s\n%s\n", whole.error.c_str(), whole.text.c_str(), cut.error.c_str(), cut.text.c_str());
    std::abort();
  }
  return 0;
}
