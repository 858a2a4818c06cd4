// Fuzzes the HTTP/1 client session. The first byte chooses the request's method (2 bits), whether the server closes at the end and how
// many cut points follow; the rest are the server's bytes. The response, or the reason it failed, must not depend on the cuts.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/dataplane/http/h1/harness.h"

using namespace fairlead::h1;
using namespace fairlead::h1::test;

namespace {

std::string run(std::string_view bytes, const std::vector<size_t>& cuts, int method, bool close) {
  Settings settings;
  settings.enable_trailers = true;
  settings.max_head_bytes = 600;
  settings.max_headers = 20;
  ClientRig rig(settings);
  static const char* kMethods[] = {"GET", "HEAD", "CONNECT", "GET"};
  std::vector<std::pair<std::string, std::string>> headers = {{":method", kMethods[method]}, {":path", "/"}, {":authority", "a:1"}};
  if (method == 3) {
    headers.push_back({"connection", "Upgrade"});
    headers.push_back({"upgrade", "x"});
  }
  rig.start(headers);
  rig.settle();
  size_t at = 0;
  for (size_t cut : cuts) {
    if (cut <= at || cut >= bytes.size()) continue;
    rig.write(bytes.substr(at, cut - at));
    rig.settle();
    at = cut;
  }
  rig.write(bytes.substr(at));
  if (close) rig.server->close(fairlead::net::CloseType::Flush);
  rig.settle();
  const Message& m = *rig.response;
  if (m.after_end || (m.ended && m.reset && method < 2)) std::abort();
  std::string text = m.head;
  for (const std::string& i : m.informational) text += "1xx " + i;
  if (m.ended) text += "ended " + m.body + "\n" + m.trailers + (rig.session->can_open_stream() ? "reusable" : "closed");
  if (m.reset) text += "reset " + std::string(fairlead::http::reset_reason_name(m.reason)) + " " + m.detail;
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  int method = data[0] & 3;
  bool close = (data[0] & 4) != 0;
  size_t count = std::min<size_t>(data[0] >> 5, size - 1);
  std::vector<size_t> cuts;
  size_t position = 0;
  for (size_t i = 0; i < count; ++i) cuts.push_back(position += data[1 + i]);
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1 + count, size - 1 - count);
  if (bytes.size() > 4000) return 0;
  std::string whole = run(bytes, {}, method, close);
  std::string cut = run(bytes, cuts, method, close);
  if (whole != cut) {
    std::fprintf(stderr, "whole: %s\ncut: %s\n", whole.c_str(), cut.c_str());
    std::abort();
  }
  return 0;
}
