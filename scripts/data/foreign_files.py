#!/usr/bin/env python3
"""Make a folder of short files with other programs' encoders and muxers: food for sweep.py.

    python scripts/data/foreign_files.py foreign

Programs that are not installed are named and left out. On Debian:

    apt-get install ffmpeg x264 x265 vpx-tools aom-tools mkvtoolnix melt webp libheif-examples \\
        gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good \\
        gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# A picture that moves and a tone, one second each; {rate} and {size} are filled in.
_PICTURE = "-f lavfi -i testsrc2=size={size}:rate={rate}:duration=1"
_TONE = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=1"
# Name of the file, then what ffmpeg is asked for after its inputs.
_FFMPEG = {
    "h264.mp4": "-c:v libx264 -c:a aac",
    "h264_fragments.mp4": "-c:v libx264 -c:a aac -movflags frag_keyframe+empty_moov",
    "h264_bframes.mov": "-c:v libx264 -bf 3 -c:a pcm_s16le",
    "h264_10bit.mkv": "-c:v libx264 -pix_fmt yuv420p10le -c:a flac",
    "h264_422.mp4": "-c:v libx264 -pix_fmt yuv422p -c:a aac",
    "h264_444.mp4": "-c:v libx264 -pix_fmt yuv444p -c:a aac",
    "h264_rgb.mkv": "-c:v libx264rgb -c:a libopus",
    "h264_fields.ts": "-c:v libx264 -flags +ildct+ilme -top 1 -c:a mp2",
    "h264.ts": "-c:v libx264 -c:a aac",
    "h264_offset.ts": "-c:v libx264 -c:a aac -output_ts_offset 3600",
    "h264.m2ts": "-c:v libx264 -c:a ac3",
    "h264.flv": "-c:v libx264 -c:a aac",
    "h264.avi": "-c:v libx264 -c:a libmp3lame",
    "h264.3gp": "-c:v libx264 -profile:v baseline -c:a aac",
    "h264.m4v": "-c:v libx264 -c:a aac",
    "hevc.mp4": "-c:v libx265 -x265-params log-level=none -tag:v hvc1 -c:a aac",
    "hevc_10bit.mkv": "-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p10le -c:a eac3",
    "hevc_12bit.mov": "-c:v libx265 -x265-params log-level=none -pix_fmt yuv422p12le -an",
    "vp8.webm": "-c:v libvpx -c:a libvorbis",
    "vp9.webm": "-c:v libvpx-vp9 -c:a libopus",
    "vp9_alpha.webm": "-c:v libvpx-vp9 -pix_fmt yuva420p -c:a libopus",
    "vp9.mp4": "-c:v libvpx-vp9 -c:a aac",
    "av1.mp4": "-c:v libaom-av1 -cpu-used 8 -c:a aac",
    "av1.mkv": "-c:v libaom-av1 -cpu-used 8 -c:a libopus",
    "mpeg2.mpg": "-c:v mpeg2video -c:a mp2",
    "mpeg2.vob": "-c:v mpeg2video -f vob -c:a ac3",
    "mpeg2.mxf": "-c:v mpeg2video -c:a pcm_s16le -ar 48000",
    "mpeg2.ts": "-c:v mpeg2video -c:a mp2",
    "mpeg2.m2v": "-c:v mpeg2video -an",
    "mpeg1.mpg": "-c:v mpeg1video -c:a mp2",
    "mpeg4.avi": "-c:v mpeg4 -bf 2 -c:a libmp3lame",
    "mpeg4.mp4": "-c:v mpeg4 -c:a aac",
    "msmpeg4.avi": "-c:v msmpeg4 -c:a libmp3lame",
    "wmv2.wmv": "-c:v wmv2 -c:a wmav2",
    "wmv1.asf": "-c:v wmv1 -c:a wmav2",
    "flv1.flv": "-c:v flv1 -ar 44100 -c:a libmp3lame",
    "theora.ogv": "-c:v libtheora -c:a libvorbis",
    "mjpeg.avi": "-c:v mjpeg -c:a pcm_s16le",
    "mjpeg.mov": "-c:v mjpeg -pix_fmt yuvj422p -c:a pcm_s16be",
    "prores.mov": "-c:v prores_ks -profile:v hq -c:a pcm_s24le",
    "prores_alpha.mov": "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le -an",
    "dnxhd.mov": "-c:v dnxhd -profile:v dnxhr_hq -c:a pcm_s16le",
    "dnxhr.mxf": "-c:v dnxhd -profile:v dnxhr_sq -c:a pcm_s16le -ar 48000",
    "cineform.mov": "-c:v cfhd -pix_fmt yuv422p10le -c:a pcm_s16le",
    "ffv1.mkv": "-c:v ffv1 -level 3 -c:a flac",
    "ffv1_16bit.mkv": "-c:v ffv1 -pix_fmt gbrp16le -an",
    "utvideo.avi": "-c:v utvideo -c:a pcm_s16le",
    "huffyuv.avi": "-c:v huffyuv -c:a pcm_s16le",
    "raw.avi": "-c:v rawvideo -pix_fmt bgr24 -an",
    "raw.y4m": "-pix_fmt yuv420p -an",
    "raw.nut": "-c:v rawvideo -pix_fmt yuv420p -c:a pcm_s16le",
    "qtrle.mov": "-c:v qtrle -c:a pcm_s16le",
    "png.mov": "-c:v png -an",
    "gif.gif": "-an",
    "apng.apng": "-f apng -plays 0 -an",
    "webp.webp": "-c:v libwebp_anim -an",
    "snow.nut": "-c:v snow -strict -2 -an",
    "hls.m3u8": "-c:v libx264 -c:a aac -hls_segment_type mpegts",
    "wtv.wtv": "-c:v mpeg2video -c:a mp2",
    "gxf.gxf": "-s 720x576 -c:v mpeg2video -pix_fmt yuv420p -r 25 -c:a pcm_s16le -ac 1",
    "swf.swf": "-c:v flv1 -ar 44100 -c:a libmp3lame",
    "gray.mkv": "-c:v ffv1 -pix_fmt gray -an",
    "gray10.mkv": "-c:v ffv1 -pix_fmt gray10le -an",
    "pal8.avi": "-c:v rawvideo -pix_fmt pal8 -an",
    "anamorphic.mp4": "-c:v libx264 -aspect 16:9 -vf setsar=64/45 -c:a aac",
    "turned.mp4": "-c:v libx264 -metadata:s:v rotate=90 -c:a aac",
    "odd.mkv": "-vf scale=321:181 -c:v ffv1 -pix_fmt yuv444p -an",
    "late_sound.mkv": "-c:v libx264 -c:a aac -af adelay=400",
    "six_channels.mkv": "-c:v libx264 -c:a ac3 -ac 6",
    "two_sounds.mkv": "-c:v libx264 -c:a aac -map 0:v -map 1:a -map 1:a",
    "hlg.mp4": "-c:v libx265 -pix_fmt yuv420p10le -x265-params "
    "log-level=none:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc -c:a aac",
    "pq.mkv": "-c:v libx265 -pix_fmt yuv420p10le -x265-params "
    "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc -c:a aac",
    "timecode.mov": "-c:v libx264 -timecode 01:00:00:00 -c:a aac",
}
_RATES = {"ntsc": "30000/1001", "film": "24000/1001", "fifty": "50", "sixty": "60000/1001"}
_RATE_SUFFIXES = ("mkv", "mp4", "flv", "ts", "mov")
# Whole command lines; {raw} is a Y4M file of the picture, {wave} the tone.
_COMMANDS = {
    "x264.264": "x264 --quiet -o {out} {raw}",
    "x264.mkv": "x264 --quiet -o {out} {raw}",
    "x264.flv": "x264 --quiet -o {out} {raw}",
    "x265.265": "x265 --log-level none {raw} -o {out}",
    "vpxenc.ivf": "vpxenc -q --codec=vp8 --ivf -o {out} {raw}",
    "vpxenc.webm": "vpxenc -q --codec=vp9 --cpu-used=8 -o {out} {raw}",
    "aomenc.obu": "aomenc -q --cpu-used=9 --rt --obu -o {out} {raw}",
    "aomenc.ivf": "aomenc -q --cpu-used=9 --rt --ivf -o {out} {raw}",
    "mkvmerge.mkv": "mkvmerge -q -o {out} {mp4}",
    "gst_h264.mp4": "{gst} x264enc ! h264parse ! mp4mux ! filesink location={out}",
    "gst_h264.mkv": "{gst} x264enc ! h264parse ! matroskamux ! filesink location={out}",
    "gst_h264.flv": "{gst} x264enc ! h264parse ! flvmux ! filesink location={out}",
    "gst_h264.ts": "{gst} x264enc ! h264parse ! mpegtsmux ! filesink location={out}",
    "gst_vp8.webm": "{gst} vp8enc deadline=1 ! webmmux ! filesink location={out}",
    "gst_vp9.mkv": "{gst} vp9enc deadline=1 ! matroskamux ! filesink location={out}",
    "gst_theora.ogv": "{gst} theoraenc ! oggmux ! filesink location={out}",
    "gst_mjpeg.avi": "{gst} jpegenc ! avimux ! filesink location={out}",
    "gst_mjpeg.mov": "{gst} jpegenc ! qtmux ! filesink location={out}",
    "gst_raw.y4m": "{gst} y4menc ! filesink location={out}",
    "melt_h264.mp4": "melt -silent color:red out=24 -consumer avformat:{out} vcodec=libx264 "
    "acodec=aac width=320 height=180",
    "melt_mpeg2.mpg": "melt -silent {mp4} -consumer avformat:{out} vcodec=mpeg2video acodec=mp2",
    "melt_prores.mov": "melt -silent {mp4} -consumer avformat:{out} vcodec=prores_ks "
    "acodec=pcm_s16le",
    "melt_dv.dv": "melt -silent {mp4} -profile dv_pal -consumer avformat:{out} f=dv "
    "vcodec=dvvideo pix_fmt=yuv420p acodec=pcm_s16le",
    "cwebp.webp": "cwebp -quiet {png} -o {out}",
    "heif.heic": "heif-enc -q 60 {png} -o {out}",
    "heif.avif": "heif-enc -A -q 60 {png} -o {out}",
}
_GST = (
    "gst-launch-1.0 -q videotestsrc num-buffers=25 ! video/x-raw,format=I420,width=320,height=180,"
    "framerate=25/1 !"
)


def make(folder: Path) -> list[Path]:
    """Write every file that the programs here can make; give those that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = folder / "parts"
    parts.mkdir(exist_ok=True)
    for out, command in _jobs(folder, parts):
        _run(out, command)
    return sorted(path for path in folder.iterdir() if path.is_file())


def _jobs(folder: Path, parts: Path) -> Iterator[tuple[Path, str]]:
    places = {"raw": parts / "raw.y4m", "png": parts / "one.png", "mp4": parts / "talk.mp4"}
    picture = _PICTURE.format(size="320x180", rate=25)
    yield places["raw"], f"ffmpeg -v error -y {picture} -pix_fmt yuv420p {places['raw']}"
    yield places["png"], f"ffmpeg -v error -y {picture} -frames:v 1 {places['png']}"
    yield places["mp4"], f"ffmpeg -v error -y {picture} {_TONE} -pix_fmt yuv420p {places['mp4']}"
    for name, options in _FFMPEG.items():
        pixels = "" if "-pix_fmt" in options or "rgb" in options else "-pix_fmt yuv420p"
        pixels = "" if name.partition(".")[2] in ("gif", "apng", "webp") else pixels
        pixels = "" if name.startswith(("qtrle", "png")) else pixels
        pixels = "-pix_fmt yuv422p" if name.startswith(("dnx", "prores.")) else pixels
        yield (
            folder / name,
            f"ffmpeg -v error -y {picture} {_TONE} {pixels} {options} {folder / name}",
        )
    for title, rate in _RATES.items():
        for suffix in _RATE_SUFFIXES:
            out = folder / f"{title}.{suffix}"
            moving = _PICTURE.format(size="320x180", rate=rate)
            yield out, f"ffmpeg -v error -y {moving} {_TONE} -pix_fmt yuv420p -c:a aac {out}"
    for name, command in _COMMANDS.items():
        out = folder / name
        yield out, command.format(out=out, gst=_GST, **places)


def _run(out: Path, command: str) -> None:
    program = command.split()[0]
    if not shutil.which(program):
        print(f"{out.name}: {program} is not installed", file=sys.stderr)
        return
    if out.exists():
        return
    ended = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
    if ended.returncode or not out.exists():
        print(f"{out.name}: {ended.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        out.unlink(missing_ok=True)


def main() -> None:
    """Make the files and say how many there are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    print(f"{len(make(parser.parse_args().folder))} files")


if __name__ == "__main__":
    main()
