# Toolchain file: 64-bit Arm Linux by a cross compiler, its programs run by qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)  # so that the emulator needs no libraries of the target
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
