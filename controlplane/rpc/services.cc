// See services.h.
#include "controlplane/rpc/services.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include "base/wire.h"
#include "controlplane/rpc/answers.h"
#include "controlplane/rpc/own_files.h"

namespace fairlead::rpc {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::internal::WireFormatLite;

// One field of a message: its number, and its value as a varint or as bytes.
struct Field {
  int number = 0;
  uint64_t value = 0;
  std::string bytes;
};

// The varint and length-delimited fields of a small message, in order; error: it is none.
absl::StatusOr<std::vector<Field>> fields_of(std::string_view message) {
  CodedInputStream in(reinterpret_cast<const uint8_t*>(message.data()), static_cast<int>(message.size()));
  std::vector<Field> out;
  while (const uint32_t tag = in.ReadTag()) {
    Field field{WireFormatLite::GetTagFieldNumber(tag)};
    bool ok = false;
    switch (WireFormatLite::GetTagWireType(tag)) {
      case WireFormatLite::WIRETYPE_VARINT: ok = in.ReadVarint64(&field.value); break;
      case WireFormatLite::WIRETYPE_LENGTH_DELIMITED: {
        uint32_t size = 0;
        ok = in.ReadVarint32(&size) && in.ReadString(&field.bytes, static_cast<int>(size));
        break;
      }
      default: ok = WireFormatLite::SkipField(&in, tag);
    }
    if (!ok) return absl::InvalidArgumentError("the request is not a message of its type");
    out.push_back(std::move(field));
  }
  if (!in.ConsumedEntireMessage()) return absl::InvalidArgumentError("the request is not a message of its type");
  return out;
}

void put(std::string& out, int number, uint64_t value) { wire::put_number(out, number, value); }
void put(std::string& out, int number, std::string_view bytes) { wire::put_bytes(out, number, bytes); }

// HealthCheckResponse.ServingStatus
enum { kServing = 1, kNotServing = 2, kServiceUnknown = 3 };

std::string health_response(int status) {
  std::string out;
  put(out, 1, static_cast<uint64_t>(status));
  return out;
}

absl::StatusOr<std::string> service_asked(std::string_view message) {
  absl::StatusOr<std::vector<Field>> fields = fields_of(message);
  if (!fields.ok()) return fields.status();
  std::string service;
  for (Field& f : *fields)
    if (f.number == 1) service = std::move(f.bytes);
  return service;
}

}  // namespace

// Deletes itself when its call has ended.
class Health::Check final : public CallEvents {
 public:
  Check(const Health& health, Call& call) : health_(health), call_(call) {}
  void on_message(std::string_view message) override {
    const absl::StatusOr<std::string> service = service_asked(message);
    const int status = service.ok() ? health_.status_of(*service) : 0;
    if (!service.ok()) {
      call_.finish(service.status());
    } else if (status == kServiceUnknown) {
      call_.finish(absl::NotFoundError(absl::StrCat("unknown service ", *service)));
    } else {
      call_.send(net::Buffer(health_response(status)));
      call_.finish(absl::OkStatus());
    }
    delete this;
  }
  void on_client_done() override {
    call_.finish(absl::InvalidArgumentError("no request"));
    delete this;
  }
  void on_closed() override { delete this; }

 private:
  const Health& health_;
  Call& call_;
};

class Health::Watch final : public CallEvents {
 public:
  Watch(Health& health, Call& call) : health_(health), call_(call) { health_.watchers_.insert(this); }
  ~Watch() override { health_.watchers_.erase(this); }
  void on_message(std::string_view message) override {
    absl::StatusOr<std::string> service = service_asked(message);
    if (!service.ok() || asked_) {
      call_.finish(service.ok() ? absl::InvalidArgumentError("one request is enough") : service.status());
      delete this;
      return;
    }
    asked_ = true;
    service_ = *std::move(service);
    tell();
  }
  void on_client_done() override {
    if (asked_) return;  // one request, then only answers
    call_.finish(absl::InvalidArgumentError("no request"));
    delete this;
  }
  void on_closed() override { delete this; }
  void on_drain() override {
    call_.finish(absl::UnavailableError("the server is going away"));
    delete this;
  }
  void tell() {
    const int status = health_.status_of(service_);
    if (!asked_ || status == told_ || call_.blocked()) return;
    told_ = status;
    call_.send(net::Buffer(health_response(status)));
  }
  void on_writable() override { tell(); }

 private:
  Health& health_;
  Call& call_;
  std::string service_;
  bool asked_ = false;
  int told_ = 0;
};

Health::Health() = default;
Health::~Health() = default;

int Health::status_of(std::string_view service) const {
  if (!service.empty() && !services_.contains(service)) return kServiceUnknown;
  return serving_ ? kServing : kNotServing;
}

void Health::add_to(Server& server, std::vector<std::string> services) {
  services_.insert(services.begin(), services.end());
  server.add("/grpc.health.v1.Health/Check", [this](Call& call) { return new Check(*this, call); });
  server.add("/grpc.health.v1.Health/Watch", [this](Call& call) { return new Watch(*this, call); });
}

void Health::set_serving(bool serving) {
  if (serving == serving_) return;
  serving_ = serving;
  for (Watch* watch : watchers_) watch->tell();
}

Reflection::Reflection(Find file_by_name, Find file_by_symbol, std::vector<std::string> services)
    : file_by_name_(std::move(file_by_name)), file_by_symbol_(std::move(file_by_symbol)), services_(std::move(services)) {
  std::sort(services_.begin(), services_.end());
}

void Reflection::add_to(Server& server) {
  for (const char* version : {"v1", "v1alpha"}) {
    add_answers(server, absl::StrCat("/grpc.reflection.", version, ".ServerReflection/ServerReflectionInfo"), Asking::kStream, [this](const Call&, std::string_view request) { return answer(request); });
  }
}

// ServerReflectionRequest: host 1, file_by_filename 3, file_containing_symbol 4, file_containing_extension 5, all_extension_numbers_of_type 6,
// list_services 7. The response has host 1, the request 2, and one of file_descriptor_response 4, list_services_response 6, error_response 7.
absl::StatusOr<std::string> Reflection::answer(std::string_view request) const {
  absl::StatusOr<std::vector<Field>> fields = fields_of(request);
  if (!fields.ok()) return fields.status();
  std::string host, body;
  const auto either = [](std::optional<std::string> own, const Find& others, const auto& what) { return own ? std::move(own) : others(what); };
  const auto error = [&](std::string_view what) {
    std::string inner;
    put(inner, 1, static_cast<uint64_t>(absl::StatusCode::kNotFound));
    put(inner, 2, what);
    put(body, 7, inner);
  };
  const auto file = [&](const std::optional<std::string>& found, std::string_view what) {
    if (!found) return error(absl::StrCat(what, " not found"));
    std::string inner;
    put(inner, 1, *found);
    put(body, 4, inner);
  };
  for (const Field& f : *fields) {
    if (f.number == 1) host = f.bytes;
    if (f.number < 3 || f.number > 7) continue;
    body.clear();  // one of them: the last
    switch (f.number) {
      case 3: file(either(own_file(f.bytes), file_by_name_, f.bytes), f.bytes); break;
      case 4: file(either(own_file_of(f.bytes), file_by_symbol_, f.bytes), f.bytes); break;
      case 5:
      case 6: error("extensions are not looked up here"); break;
      default: {
        std::string inner;
        for (const std::string& service : services_) {
          std::string one;
          put(one, 1, service);
          put(inner, 1, one);
        }
        put(body, 6, inner);
      }
    }
  }
  if (body.empty()) return absl::InvalidArgumentError("the request asks nothing");
  std::string out;
  if (!host.empty()) put(out, 1, host);
  put(out, 2, request);
  return out + body;
}

}  // namespace fairlead::rpc
