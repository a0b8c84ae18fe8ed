// Asks Paddle's own TensorRT converter which of a block's tensors it can declare as a subgraph's outputs.
//
// Compiled at test time, put before libpaddle.so in the order of symbols (LD_PRELOAD). What would call TensorRT's builder
// (InitNetwork, ConvertBlock, DeclareOutput, FreezeNetwork) is taken by the empty functions below; the converter itself is the wheel's.
#include <cstring>
#include <exception>
#include <string>
#include <unordered_set>
#include <vector>

namespace nvinfer1 { enum class DataType : int32_t; }
static int declared_type = -1;

namespace paddle {
namespace framework { class BlockDesc; class Scope; namespace proto { class BlockDesc; } }
namespace inference::tensorrt {
struct TensorRTEngine {
  void InitNetwork();
  void DeclareOutput(const std::string&, nvinfer1::DataType);
  void DeclareOutput(const std::string&);
  void FreezeNetwork();
};
void TensorRTEngine::InitNetwork() {}
void TensorRTEngine::DeclareOutput(const std::string&, nvinfer1::DataType type) { declared_type = static_cast<int>(type); }
void TensorRTEngine::DeclareOutput(const std::string&) {}
void TensorRTEngine::FreezeNetwork() {}
struct OpConverter {
  void ConvertBlock(const framework::proto::BlockDesc&, const std::unordered_set<std::string>&, const framework::Scope&,
                    TensorRTEngine*);
};
void OpConverter::ConvertBlock(const framework::proto::BlockDesc&, const std::unordered_set<std::string>&,
                               const framework::Scope&, TensorRTEngine*) {}
}  // namespace inference::tensorrt
}  // namespace paddle

using Convert = void (*)(void*, paddle::framework::BlockDesc*, const void*, const std::vector<std::string>*,
                         const std::unordered_set<std::string>*, const std::vector<std::string>*, void*);

// TensorRT's number of the type that output `name` of `block` is declared with; -1: the converter threw, `said` has why.
extern "C" int declare_output(void* function, void* block, const char* name, char* said, size_t size) {
  static char converter[1 << 16], engine[1 << 16], scope[1 << 16];
  declared_type = -1;
  const std::vector<std::string> inputs, outputs{name};
  const std::unordered_set<std::string> parameters;
  try {
    reinterpret_cast<Convert>(function)(converter, static_cast<paddle::framework::BlockDesc*>(block), scope, &inputs,
                                        &parameters, &outputs, engine);
  } catch (const std::exception& error) {
    std::strncpy(said, error.what(), size - 1);
    return -1;
  }
  return declared_type;
}
