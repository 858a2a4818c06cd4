// See filter.h.
#include "dataplane/filters/http/cache/filter.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include <algorithm>

#include "dataplane/http/status.h"
#include "dataplane/stream/stream.h"

namespace fairlead::filters::cache {

using http::Token;
using stream::DataStatus;
using stream::HeadersStatus;
using stream::TrailersStatus;

namespace {

bool safe(std::string_view method) { return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE"; }

}  // namespace

void register_filter(stream::FilterRegistry& registry) { registry.add_configured<CacheFilter, Config>("type.googleapis.com/envoy.extensions.filters.http.cache.v3.CacheConfig"); }

int64_t CacheFilter::now() const { return std::chrono::duration_cast<std::chrono::seconds>(stream().worker().loop().wall_now().time_since_epoch()).count(); }

HeadersStatus CacheFilter::decode_headers(http::HeaderMap& headers, bool end_stream) {
  if (config_.disabled || stream().is_upgrade() || stream().is_connect()) return HeadersStatus::kContinue;
  const auto* cluster = stream().cluster();
  const std::string_view path = headers.get(Token::PseudoPath), host = headers.get(Token::PseudoAuthority), method = headers.get(Token::PseudoMethod);
  if (cluster == nullptr || path.empty() || host.empty()) return HeadersStatus::kContinue;
  // The cluster is part of the key: listeners that know the same host by different upstreams share nothing.
  key_ = absl::StrCat(cluster->config().name, "\n", headers.get(Token::PseudoScheme), "\n", absl::AsciiStrToLower(host), "\n", path.substr(0, path.find('#')));
  if (!safe(method)) {
    state_ = State::kInvalidate;
    return HeadersStatus::kContinue;
  }
  head_ = method == "HEAD";
  if ((method != "GET" && !head_) || !end_stream || headers.has("authorization")) return HeadersStatus::kContinue;
  const RequestDirectives directives = config_.ignore_request_cache_control ? RequestDirectives() : request_directives(headers);
  asked_ = now();
  stored_ = Store::global().find(key_, headers);
  if (stored_ && usable(directives, stored_->head, age())) {
    serve();
    return HeadersStatus::kStop;
  }
  if (directives.only_if_cached) {
    stream().send_local_reply({.status = 504, .details = "cache.only_if_cached"});
    return HeadersStatus::kStop;
  }
  if (directives.no_store) return HeadersStatus::kContinue;
  state_ = State::kMiss;
  asked_headers_.emplace(headers.copy_to(stream().arena()));
  if (!stored_) return HeadersStatus::kContinue;
  const std::string_view etag = get(stored_->head, "etag");
  std::string_view modified = get(stored_->head, "last-modified");
  if (etag.empty() && modified.empty()) modified = get(stored_->head, "date");  // Envoy 1.40; RFC 9110 13.1.3
  // Ours in place of the client's conditions, which are judged by what we have once it is validated.
  state_ = State::kValidate;
  headers.remove("if-none-match");
  headers.remove("if-modified-since");
  if (!etag.empty()) headers.add("if-none-match", etag);
  if (!modified.empty()) headers.add("if-modified-since", modified);
  return HeadersStatus::kContinue;
}

void CacheFilter::mark_served() {
  state_ = State::kServe;
  stream().set_flag(format::ResponseFlag::ResponseFromCacheFilter);
  stream().set_details("cache.response_from_cache_filter");  // Envoy 1.40
}

void CacheFilter::serve() {
  mark_served();
  auto* headers = stream().arena().make<http::HeaderMap>(stream().arena());
  const Answer answer = write_head(*headers);
  const ResponsePtr stored = stored_;  // the stream may end in any of these
  stream::Stream& s = stream();
  const bool trailers = answer.whole && !stored->trailers.empty();
  s.encode_headers(*headers, answer.length == 0 && !trailers);
  if (answer.length != 0 && s.active()) {
    net::Buffer body;
    if (answer.whole) {
      body.append_external(stored->body);
    } else {
      body.append(std::string_view(*stored->body).substr(answer.first, answer.length));
    }
    s.encode_data(body, !trailers);
  }
  if (!trailers || !s.active()) return;
  auto* out = s.arena().make<http::HeaderMap>(s.arena());
  for (const auto& [name, value] : stored->trailers) out->add(name, value);
  s.encode_trailers(*out);
}

// The head that answers this request from what is kept: 304, 206, 416 or the kept one.
CacheFilter::Answer CacheFilter::write_head(http::HeaderMap& out) {
  const http::HeaderMap& asked = asked_headers_ ? *asked_headers_ : stream().request_headers();
  const Head& head = stored_->head;
  const uint64_t size = stored_->body->size();
  const bool ok = get(head, ":status") == "200";
  const bool unchanged = ok && not_modified(asked, head);
  for (const auto& [name, value] : head) {
    const bool of_body = name == "content-length" || (unchanged && (name == "content-type" || name == "content-encoding"));
    if (name != "age" && !of_body) out.add(name, value);
  }
  out.set("age", absl::StrCat(std::min(kForever, age())));
  if (unchanged) {
    out.set_ref(Token::PseudoStatus, "304");
    return {};
  }
  const std::string_view range = asked.get("range");
  Range part;
  if (ok && !head_ && !range.empty() && asked.count("range") == 1 && range_applies(asked, head)) part = parse_range(range, size);
  if (part.kind == Range::Kind::Unsatisfiable) {
    out.set_ref(Token::PseudoStatus, "416");
    out.set("content-range", absl::StrCat("bytes */", size));
    out.set("content-length", "0");
    return {};
  }
  if (part.kind == Range::Kind::Part) {
    out.set_ref(Token::PseudoStatus, "206");
    out.set("content-range", absl::StrCat("bytes ", part.first, "-", part.first + part.length - 1, "/", size));
    out.set("content-length", absl::StrCat(part.length));
    return {.whole = false, .first = part.first, .length = part.length};
  }
  if (stored_->trailers.empty() && get(head, ":status") != "204") out.set("content-length", absl::StrCat(size));
  if (head_) return {};
  return {.whole = true, .length = size};
}

HeadersStatus CacheFilter::encode_headers(http::HeaderMap& headers, bool end_stream) {
  const uint32_t status = http::parse_status(headers.get(Token::PseudoStatus));
  switch (state_) {
    case State::kInvalidate:
      if (status >= 200 && status < 400) Store::global().erase(key_);  // RFC 9111 4.4
      break;
    case State::kValidate:
      if (status == 304 && end_stream) return validated(headers);
      [[fallthrough]];
    case State::kMiss: begin_filling(headers, status, end_stream); break;
    default: break;
  }
  return HeadersStatus::kContinue;
}

// The upstream says that what we have is still right.
HeadersStatus CacheFilter::validated(http::HeaderMap& headers) {
  const std::string_view etag = headers.get("etag");
  if (etag.empty() || etag == get(stored_->head, "etag")) {
    auto fresh = std::make_shared<Response>(*stored_);
    update_head(fresh->head, headers);
    fresh->came = now();
    fresh->age = initial_age(fresh->head, asked_, fresh->came);
    stored_ = fresh;
    if (response_directives(joined(fresh->head, "cache-control")).no_store) {
      Store::global().erase(key_);
    } else {
      Store::global().insert(key_, fresh);
    }
  }
  mark_served();
  headers.clear();
  answer_ = write_head(headers);
  headers.remove("age");  // Envoy 1.40: what has just been validated has none
  if (answer_.length == 0) return HeadersStatus::kContinue;
  stream().worker().loop().run_soon(body_task_);  // a body can only follow once this call has returned
  return HeadersStatus::kStopAndRead;
}

// After a 304, which has no body of its own: as if the upstream had sent the kept one now. Its trailers are not sent.
void CacheFilter::send_kept_body() {
  net::Buffer body;
  if (answer_.whole) {
    body.append_external(stored_->body);
  } else {
    body.append(std::string_view(*stored_->body).substr(answer_.first, answer_.length));
  }
  stream().encode_data(body, true);
}

bool CacheFilter::vary_of(const http::HeaderMap& response, Response& out) const {
  const auto vary = response.joined("vary");
  if (!vary) return true;
  for (const std::string_view part : absl::StrSplit(*vary, ',')) {
    const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(part));
    if (name.empty()) continue;
    if (name == "*" || !std::any_of(config_.allowed_vary.begin(), config_.allowed_vary.end(), [&](const auto& matcher) { return matcher.match(name); })) return false;
    out.vary.emplace_back(name, asked_headers_->joined(name).value_or(std::string_view()));
  }
  std::sort(out.vary.begin(), out.vary.end());
  return true;
}

void CacheFilter::begin_filling(http::HeaderMap& headers, uint32_t status, bool end_stream) {
  state_ = State::kPass;
  if (head_ || !storable(status, headers)) return;
  if (const std::string_view length = headers.get(Token::ContentLength); !length.empty()) {
    uint64_t bytes = 0;
    if (!absl::SimpleAtoi(length, &bytes)) return;
    length_ = bytes;
  }
  const uint64_t limit = config_.max_body_bytes != 0 ? std::min<uint64_t>(config_.max_body_bytes, Store::kMaxBodyBytes) : Store::kMaxBodyBytes;
  if (length_.value_or(0) > limit) return;
  auto response = std::make_shared<Response>();
  if (!vary_of(headers, *response)) return;
  response->came = now();
  response->head = kept_head(headers, response->came);
  response->age = initial_age(response->head, asked_, response->came);
  filling_ = std::move(response);
  state_ = State::kFill;
  if (end_stream) keep(nullptr);
}

DataStatus CacheFilter::encode_data(net::Buffer& data, bool end_stream) {
  if (state_ != State::kFill) return DataStatus::kContinue;
  const uint64_t limit = config_.max_body_bytes != 0 ? std::min<uint64_t>(config_.max_body_bytes, Store::kMaxBodyBytes) : Store::kMaxBodyBytes;
  if (body_.size() + data.size() > limit || !Store::global().begin_filling(data.size())) {
    give_up();
    return DataStatus::kContinue;
  }
  reserved_ += data.size();
  data.for_each_slice([&](std::string_view slice) { body_.append(slice); });
  if (end_stream) keep(nullptr);
  return DataStatus::kContinue;
}

TrailersStatus CacheFilter::encode_trailers(http::HeaderMap& trailers) {
  if (state_ == State::kFill) keep(&trailers);
  return TrailersStatus::kContinue;
}

void CacheFilter::keep(const http::HeaderMap* trailers) {
  if (!length_ || *length_ == body_.size()) {
    if (trailers != nullptr) {
      for (const auto& trailer : *trailers) filling_->trailers.emplace_back(trailer.name(), trailer.value());
    }
    body_.shrink_to_fit();
    filling_->body = std::make_shared<const std::string>(std::move(body_));
    Store::global().insert(key_, std::move(filling_));
  }
  give_up();
}

void CacheFilter::give_up() {
  if (state_ == State::kFill) state_ = State::kPass;
  filling_ = nullptr;
  std::string().swap(body_);
  Store::global().end_filling(reserved_);
  reserved_ = 0;
}

void CacheFilter::on_stream_end() {
  body_task_.cancel();
  give_up();  // a response that did not come to its end is not kept
}

}  // namespace fairlead::filters::cache
