// Trailer sections (trailer_section.h).
#include "dataplane/http/h1/trailer_section.h"

namespace fairlead::h1 {

TrailerSection take_trailers(net::Buffer& in, const Settings& settings, size_t& scanned, http::Arena& arena) {
  TrailerSection section;
  if (in.empty()) return section;
  char first[2] = {};
  size_t have = in.copy_out(0, first, 2);
  if (first[0] == '\n' || (have == 2 && first[0] == '\r' && first[1] == '\n')) {
    section.bytes = first[0] == '\n' ? 1 : 2;
    in.drain(section.bytes);
    section.complete = true;
    return section;
  }
  if (first[0] == '\r') {
    if (have == 2) section.verdict = {400, "http1.codec_error"};
    return section;
  }
  size_t size = 0;
  switch (find_head(in, settings.max_head_bytes, false, scanned, size)) {
    case HeadSearch::Incomplete:
      return section;
    case HeadSearch::TooLarge:
    case HeadSearch::Broken:
      section.verdict = {431, "http1.headers_too_large"};
      return section;
    case HeadSearch::Complete:
      break;
  }
  char* text = arena.bytes(size);
  in.copy_out(0, text, size);
  in.drain(size);
  section.bytes = size;
  section.complete = true;
  auto* trailers = arena.make<http::HeaderMap>(arena);
  section.verdict = parse_trailers(text, size, settings, *trailers);
  if (!trailers->empty()) section.trailers = trailers;
  return section;
}

}  // namespace fairlead::h1
