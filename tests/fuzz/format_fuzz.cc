// Any text as a format. Parsing may fail but not crash; rendering never fails, with all values set or none; escaped text is
// printed as it is; and what the JSON form prints is JSON.
#include <google/protobuf/struct.pb.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/doc.h"
#include "dataplane/format/formatter.h"
#include "dataplane/http/header_map.h"

namespace {

using namespace fairlead;

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  http::Arena arena;
  http::HeaderMap headers(arena);
  headers.add(":path", input);
  headers.add(":method", "GET");
  headers.add("content-type", "application/grpc");
  headers.add("grpc-status", "3");
  format::FormatContext full;
  full.request_headers = full.response_headers = full.response_trailers = &headers;
  full.upstream_host = full.downstream_remote_address = full.response_code_details = full.route_name = input;
  full.times.set(format::TimePoint::StreamEnd, std::chrono::milliseconds(5));
  const format::FormatContext empty;

  std::string escaped;
  for (char c : input) escaped.append(c == '%' ? "%%" : std::string(1, c));
  const auto literal = format::Formatter::parse(escaped);
  require(literal.ok() && literal->is_literal() && literal->render(full) == input);

  const auto formatter = format::Formatter::parse(input);
  if (!formatter.ok()) return 0;
  formatter->render(full);
  formatter->render(empty);
  if (formatter->is_literal()) require(formatter->render(full) == formatter->text());

  google::protobuf::Struct object;
  (*object.mutable_fields())["key"].set_string_value(std::string(input));
  const auto json = format::JsonFormatter::parse(object);
  require(json.ok());
  for (const format::FormatContext* context : {static_cast<const format::FormatContext*>(&full), &empty}) {
    std::string line;
    json->render(*context, line);
    require(!line.empty() && line.back() == '\n' && line.find('\n') == line.size() - 1);
    require(doc::parse_json(line, "line.json").ok());
  }
  return 0;
}
