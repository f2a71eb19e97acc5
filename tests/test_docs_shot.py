"""The picture tool: what a client sees becomes pixels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from demo_server import PrivateServer

SHOT = Path(__file__).resolve().parents[1] / "docs/shot.py"
FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf")


def take(server: PrivateServer, output: Path, *options: str) -> Image.Image:
    argv = [
        sys.executable,
        "-B",
        str(SHOT),
        "-S",
        server.socket,
        "-o",
        str(output),
        "--size",
        "40x10",
        *options,
    ]
    subprocess.run([*argv, *options], check=True, capture_output=True, text=True)
    return Image.open(output).convert("RGB")


def has_colour(image: Image.Image, colour: tuple[int, int, int]) -> bool:
    return any(found == colour for _, found in image.getcolors(1 << 24) or [])


@pytest.mark.skipif(not FONT.exists(), reason="PICTURES NOT TESTED: the DejaVu fonts are missing")
def test_picture_has_the_colours_of_the_screen_and_of_an_opened_menu(tmp_path: Path) -> None:
    with PrivateServer(tmp_path, (40, 10)) as server:
        text = r"\033[48;2;10;200;30mgreen\033[m \033[38;5;196m████\033[m \033[1;44mblue\033[m ⠋─│"
        server.start("sh", "-c", f"printf '{text}'; sleep 60")
        server.run("bind-key", "O", "display-menu", "-x", "0", "-y", "9", "█████", "x", "")
        plain = take(server, tmp_path / "plain.png")
        assert plain.width > 40 * 5 and plain.height > 10 * 10
        assert has_colour(plain, (10, 200, 30))
        assert has_colour(plain, (255, 0, 0))
        assert has_colour(plain, (0x6F, 0x9B, 0xD1))
        menu = take(server, tmp_path / "menu.png", "--keys", "C-b O")
        assert plain.tobytes() != menu.tobytes()
