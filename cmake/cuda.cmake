# The CUDA kernels, when they are wanted and a trial compile passes. Sets FASTHASH_CUDA_STATUS (one sentence for
# build_info) and FASTHASH_CUDA_ARCHS; defines the target fasthash_cuda when the kernels are built.
set(FASTHASH_CUDA_ARCHS "")
if(FASTHASH_CUDA STREQUAL "OFF")
  set(FASTHASH_CUDA_STATUS "off: FASTHASH_CUDA=OFF")
  return()
endif()

# One compiler for all host code, found also where nvcc is installed but not on the path.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(CMAKE_CUDA_COMPILER nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
endif()
if(NOT CMAKE_CUDA_HOST_COMPILER AND NOT DEFINED ENV{CUDAHOSTCXX})
  set(CMAKE_CUDA_HOST_COMPILER "${CMAKE_CXX_COMPILER}")
endif()

if(FASTHASH_CUDA_ARCHITECTURES STREQUAL "wheel")
  set(CMAKE_CUDA_ARCHITECTURES 80-real 86-real 89-real 90a-real 100-real 120-real 120-virtual)
elseif(FASTHASH_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES ${FASTHASH_CUDA_ARCHITECTURES})
else()
  set(CMAKE_CUDA_ARCHITECTURES "")
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
                  OUTPUT_VARIABLE capabilities ERROR_QUIET)
  string(REGEX MATCHALL "[0-9]+\\.[0-9]+" capabilities "${capabilities}")
  foreach(capability IN LISTS capabilities)
    string(REPLACE "." "" arch "${capability}")
    string(REGEX REPLACE "^90$" "90a" arch "${arch}")
    list(APPEND CMAKE_CUDA_ARCHITECTURES "${arch}-real")
  endforeach()
  list(REMOVE_DUPLICATES CMAKE_CUDA_ARCHITECTURES)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 90-virtual)  # short, so that an install on two cores stays short
  endif()
endif()

# A trial in a project of its own, whose set-up compiles for these architectures: no nvcc, one that rejects the host
# compiler, or one too old for an architecture, does not stop the build.
if(NOT "${FASTHASH_CUDA_WORKS}" STREQUAL "${CMAKE_CUDA_ARCHITECTURES}")
  set(trial "${CMAKE_BINARY_DIR}/cuda_trial")
  file(REMOVE_RECURSE "${trial}")
  file(WRITE "${trial}/CMakeLists.txt" "cmake_minimum_required(VERSION 3.25)\n"
       "set(CMAKE_CUDA_ARCHITECTURES ${CMAKE_CUDA_ARCHITECTURES})\n"
       "project(trial LANGUAGES CUDA)\n")
  set(settings "-DCMAKE_MAKE_PROGRAM=${CMAKE_MAKE_PROGRAM}")
  foreach(name CMAKE_CUDA_COMPILER CMAKE_CUDA_HOST_COMPILER)
    if(${name})
      list(APPEND settings "-D${name}=${${name}}")
    endif()
  endforeach()
  message(CHECK_START "Trying CUDA for ${CMAKE_CUDA_ARCHITECTURES}")
  execute_process(COMMAND "${CMAKE_COMMAND}" -S "${trial}" -B "${trial}/build" -G "${CMAKE_GENERATOR}" ${settings}
                  OUTPUT_FILE "${trial}/log.txt" ERROR_FILE "${trial}/log.txt" RESULT_VARIABLE failed)
  if(NOT failed EQUAL 0)
    message(CHECK_FAIL "no, see ${trial}/log.txt")
    if(FASTHASH_CUDA STREQUAL "ON")
      message(FATAL_ERROR "FASTHASH_CUDA=ON, but no nvcc was found that compiles a trial program")
    endif()
    set(FASTHASH_CUDA_STATUS "off: no nvcc found that compiles a trial program for ${CMAKE_CUDA_ARCHITECTURES}")
    string(REPLACE ";" " " FASTHASH_CUDA_STATUS "${FASTHASH_CUDA_STATUS}")
    return()
  endif()
  message(CHECK_PASS "works")
  set(FASTHASH_CUDA_WORKS "${CMAKE_CUDA_ARCHITECTURES}" CACHE INTERNAL "Architectures that the trial passed for")
endif()

set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
set(FASTHASH_CUDA_STATUS "on: CUDA ${CMAKE_CUDA_COMPILER_VERSION}, static runtime")
string(REPLACE ";" " " FASTHASH_CUDA_ARCHS "${CMAKE_CUDA_ARCHITECTURES}")

add_library(fasthash_cuda STATIC
  csrc/cuda/pack.cu
  csrc/cuda/distance.cu
  csrc/cuda/matrix_tensor.cu
  csrc/cuda/table_count.cu
  csrc/cuda/table_place.cu
  csrc/cuda/select.cu
  csrc/cuda/topk.cu
  csrc/cuda/path.cu
  csrc/cuda/candidates.cu
  csrc/cuda/filter_popcount.cu
  csrc/cuda/filter_tensor.cu
  csrc/cuda/count.cu
  csrc/cuda/score.cu)
target_include_directories(fasthash_cuda PUBLIC csrc/include PRIVATE csrc/cuda)
target_compile_options(fasthash_cuda PRIVATE -Xcompiler=-Wall,-Wextra --threads=2)
target_link_libraries(fasthash_cuda PUBLIC CUDA::cudart_static)
