// See own_files.h.
#include "controlplane/rpc/own_files.h"

#include <vector>

#include <absl/strings/str_cat.h>
#include <google/protobuf/descriptor.pb.h>

namespace fairlead::rpc {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::FileDescriptorProto;

class File {
 public:
  File(const std::string& name, const std::string& package) {
    file_.set_name(name);
    file_.set_package(package);
    file_.set_syntax("proto3");
  }
  DescriptorProto& message(const std::string& name) {
    DescriptorProto& message = *file_.add_message_type();
    message.set_name(name);
    return message;
  }
  FieldDescriptorProto& field(DescriptorProto& message, const std::string& name, int number, FieldDescriptorProto::Type type, const std::string& of = "") {
    FieldDescriptorProto& field = *message.add_field();
    field.set_name(name);
    field.set_number(number);
    field.set_label(FieldDescriptorProto::LABEL_OPTIONAL);
    field.set_type(type);
    if (!of.empty()) field.set_type_name(full(of));
    return field;
  }
  void repeated(DescriptorProto& message, const std::string& name, int number, FieldDescriptorProto::Type type, const std::string& of = "") {
    field(message, name, number, type, of).set_label(FieldDescriptorProto::LABEL_REPEATED);
  }
  // The message's only one.
  void one_of(DescriptorProto& message, const std::string& name, int number, FieldDescriptorProto::Type type, const std::string& of = "") {
    field(message, name, number, type, of).set_oneof_index(0);
  }
  void method(const std::string& service, const std::string& name, const std::string& in, const std::string& out, bool client_streams, bool server_streams) {
    if (file_.service_size() == 0) file_.add_service()->set_name(service);
    auto& method = *file_.mutable_service(0)->add_method();
    method.set_name(name);
    method.set_input_type(full(in));
    method.set_output_type(full(out));
    if (client_streams) method.set_client_streaming(true);
    if (server_streams) method.set_server_streaming(true);
  }
  const FileDescriptorProto& proto() const { return file_; }

 private:
  std::string full(const std::string& name) const { return absl::StrCat(".", file_.package(), ".", name); }
  FileDescriptorProto file_;
};

FileDescriptorProto health() {
  File file("grpc/health/v1/health.proto", "grpc.health.v1");
  file.field(file.message("HealthCheckRequest"), "service", 1, FieldDescriptorProto::TYPE_STRING);
  DescriptorProto& response = file.message("HealthCheckResponse");
  file.field(response, "status", 1, FieldDescriptorProto::TYPE_ENUM, "HealthCheckResponse.ServingStatus");
  auto& status = *response.add_enum_type();
  status.set_name("ServingStatus");
  for (const char* name : {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}) {
    auto& value = *status.add_value();
    value.set_number(status.value_size() - 1);
    value.set_name(name);
  }
  file.method("Health", "Check", "HealthCheckRequest", "HealthCheckResponse", false, false);
  file.method("Health", "Watch", "HealthCheckRequest", "HealthCheckResponse", false, true);
  return file.proto();
}

FileDescriptorProto reflection(const std::string& version) {
  using F = FieldDescriptorProto;
  File file(absl::StrCat("grpc/reflection/", version, "/reflection.proto"), absl::StrCat("grpc.reflection.", version));
  DescriptorProto& request = file.message("ServerReflectionRequest");
  request.add_oneof_decl()->set_name("message_request");
  file.field(request, "host", 1, F::TYPE_STRING);
  file.one_of(request, "file_by_filename", 3, F::TYPE_STRING);
  file.one_of(request, "file_containing_symbol", 4, F::TYPE_STRING);
  file.one_of(request, "file_containing_extension", 5, F::TYPE_MESSAGE, "ExtensionRequest");
  file.one_of(request, "all_extension_numbers_of_type", 6, F::TYPE_STRING);
  file.one_of(request, "list_services", 7, F::TYPE_STRING);
  DescriptorProto& extension = file.message("ExtensionRequest");
  file.field(extension, "containing_type", 1, F::TYPE_STRING);
  file.field(extension, "extension_number", 2, F::TYPE_INT32);
  DescriptorProto& response = file.message("ServerReflectionResponse");
  response.add_oneof_decl()->set_name("message_response");
  file.field(response, "valid_host", 1, F::TYPE_STRING);
  file.field(response, "original_request", 2, F::TYPE_MESSAGE, "ServerReflectionRequest");
  file.one_of(response, "file_descriptor_response", 4, F::TYPE_MESSAGE, "FileDescriptorResponse");
  file.one_of(response, "all_extension_numbers_response", 5, F::TYPE_MESSAGE, "ExtensionNumberResponse");
  file.one_of(response, "list_services_response", 6, F::TYPE_MESSAGE, "ListServiceResponse");
  file.one_of(response, "error_response", 7, F::TYPE_MESSAGE, "ErrorResponse");
  file.repeated(file.message("FileDescriptorResponse"), "file_descriptor_proto", 1, F::TYPE_BYTES);
  DescriptorProto& numbers = file.message("ExtensionNumberResponse");
  file.field(numbers, "base_type_name", 1, F::TYPE_STRING);
  file.repeated(numbers, "extension_number", 2, F::TYPE_INT32);
  file.repeated(file.message("ListServiceResponse"), "service", 1, F::TYPE_MESSAGE, "ServiceResponse");
  file.field(file.message("ServiceResponse"), "name", 1, F::TYPE_STRING);
  DescriptorProto& error = file.message("ErrorResponse");
  file.field(error, "error_code", 1, F::TYPE_INT32);
  file.field(error, "error_message", 2, F::TYPE_STRING);
  file.method("ServerReflection", "ServerReflectionInfo", "ServerReflectionRequest", "ServerReflectionResponse", true, true);
  return file.proto();
}

const std::vector<FileDescriptorProto>& files() {
  static const auto* all = new std::vector<FileDescriptorProto>{health(), reflection("v1"), reflection("v1alpha")};
  return *all;
}

// "grpc.health.v1.Health" and what is in it: ".Check".
bool holds(const FileDescriptorProto& file, std::string_view symbol) {
  const auto is = [&](const std::string& name) {
    const std::string whole = absl::StrCat(file.package(), ".", name);
    return symbol == whole || (symbol.starts_with(whole) && symbol[whole.size()] == '.');
  };
  for (const auto& message : file.message_type()) {
    if (is(message.name())) return true;
  }
  for (const auto& service : file.service()) {
    if (is(service.name())) return true;
  }
  return false;
}

}  // namespace

std::optional<std::string> own_file(std::string_view name) {
  for (const FileDescriptorProto& file : files()) {
    if (file.name() == name) return file.SerializeAsString();
  }
  return std::nullopt;
}

std::optional<std::string> own_file_of(std::string_view symbol) {
  for (const FileDescriptorProto& file : files()) {
    if (holds(file, symbol)) return file.SerializeAsString();
  }
  return std::nullopt;
}

}  // namespace fairlead::rpc
