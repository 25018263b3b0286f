from darkroom_local.cli import main

main(prog_name="python -m darkroom_local")
