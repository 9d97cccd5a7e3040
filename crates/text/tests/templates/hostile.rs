//! Templates that want to hang, crash or fill the machine. Each must end in an error, soon and in little memory.
