# The CUDA kernels, when they are wanted and a trial compile passes. Sets FASTHASH_CUDA_STATUS (one sentence for
# build_info) and FASTHASH_CUDA_ARCHS; defines the target fasthash_cuda when the kernels are built.
set(FASTHASH_CUDA_ARCHS "")
if(FASTHASH_CUDA STREQUAL "OFF")
  set(FASTHASH_CUDA_STATUS "off: FASTHASH_CUDA=OFF")
  return()
endif()

include(CheckLanguage)
check_language(CUDA)  # a trial compile in a scratch project: a broken or unsuited nvcc does not stop the build
if(NOT CMAKE_CUDA_COMPILER)
  if(FASTHASH_CUDA STREQUAL "ON")
    message(FATAL_ERROR "FASTHASH_CUDA=ON, but no nvcc compiles a trial program with this C++ compiler")
  endif()
  set(FASTHASH_CUDA_STATUS "off: no nvcc found that compiles a trial program")
  return()
endif()

if(FASTHASH_CUDA_ARCHITECTURES STREQUAL "wheel")
  set(FASTHASH_CUDA_ARCHS "80-real;86-real;89-real;90a-real;100-real;120-real;120-virtual")
elseif(FASTHASH_CUDA_ARCHITECTURES)
  set(FASTHASH_CUDA_ARCHS "${FASTHASH_CUDA_ARCHITECTURES}")
else()
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
                  OUTPUT_VARIABLE capability ERROR_QUIET RESULT_VARIABLE failed)
  if(failed EQUAL 0 AND capability MATCHES "([0-9]+)\\.([0-9]+)")
    set(arch "${CMAKE_MATCH_1}${CMAKE_MATCH_2}")
    if(arch EQUAL 90)
      set(arch 90a)
    endif()
    set(FASTHASH_CUDA_ARCHS "${arch}-real")
  else()
    set(FASTHASH_CUDA_ARCHS "80-real;90a-real;90-virtual")  # short, so that an install on two cores stays short
  endif()
endif()

set(CMAKE_CUDA_ARCHITECTURES "${FASTHASH_CUDA_ARCHS}")
set(CMAKE_CUDA_STANDARD 17)
enable_language(CUDA)
set(FASTHASH_CUDA_STATUS "on: CUDA ${CMAKE_CUDA_COMPILER_VERSION}, static runtime")

add_library(fasthash_cuda STATIC
  csrc/cuda/pack.cu
  csrc/cuda/distance.cu
  csrc/cuda/select.cu
  csrc/cuda/count.cu)
target_include_directories(fasthash_cuda PUBLIC csrc/include PRIVATE csrc/cuda)
set_target_properties(fasthash_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static CUDA_SEPARABLE_COMPILATION OFF)
target_compile_options(fasthash_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--threads=2>)
