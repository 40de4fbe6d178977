-- Mattes clips of the current timeline with mattecast and lays the mattes above them.
-- For DaVinci Resolve, both editions: Workspace, Scripts, Edit, mattecast.
-- Written by `mattecast hosts install resolve`, which also renews it.
--
-- Resolve 21.1 gives scripts of the free edition neither files nor programs (no io, no os.execute).
-- So this script asks through files in one folder: it writes request.lua with bmd.writefile and
-- reads answer.lua with dofile. What is matted, and where it goes, the program decides.

local WHAT = "@WHAT@" -- selected, colour, track, or cancel
local FOLDER = "@FOLDER@" -- the folder of the files
local START = "@START@" -- the command line that starts the program in the background

local BIN = "mattecast" -- the bin of the media pool that takes the mattes
local POLL = 0.25 -- seconds between two looks at the answer
local LINE = 5 -- seconds between two lines of progress
local PATIENCE = 120 -- seconds until the first answer: somebody may have to start the program
local SILENCE = 60 -- seconds without a sign of life that mean that the program has ended
-- What the look of a clip is made of: a matte gets the same (README of the API, item properties).
local LOOK = {
  "Pan", "Tilt", "ZoomX", "ZoomY", "ZoomGang", "RotationAngle", "AnchorPointX", "AnchorPointY",
  "Pitch", "Yaw", "FlipX", "FlipY", "CropLeft", "CropRight", "CropTop", "CropBottom",
  "CropSoftness", "CropRetain", "Distortion", "Scaling", "ResizeFilter",
}
-- Clip attributes that say how the codes of a picture are meant: a matte has the codes of its clip.
local ATTRIBUTES = {
  "Input Color Space", "Input Gamma", "Data Level", "PAR", "H-FLIP", "V-FLIP", "Input Sizing Preset",
}

-- A global that not every edition of Resolve has; nil where there is none.
local function global(name)
  local done, value = pcall(function()
    return _G[name]
  end)
  return done and value or nil
end

local bmd = global("bmd") or {}

local function say(line)
  print("mattecast: " .. line)
end

-- Ends the script with one line.
local function stop(line)
  error({ line = line }, 0)
end

-- The result of a method that not every version of Resolve has; nil where it has none.
local function try(object, method, ...)
  local arguments = { ... }
  local count = select("#", ...)
  local done, result = pcall(function()
    return object[method](object, unpack(arguments, 1, count))
  end)
  if done then
    return result
  end
end

-- What a method must give; the line ends the script where it does not.
local function need(result, line)
  if not result then
    stop(line)
  end
  return result
end

---------------------------------------------------------------------------------------- the files

local function json(value)
  local kind = type(value)
  if kind == "string" then
    local escaped = value:gsub('[%c"\\]', function(c)
      return string.format("\\u%04x", c:byte())
    end)
    return '"' .. escaped .. '"'
  elseif kind == "number" and value == value and value * 0 == 0 then
    return string.format("%.17g", value)
  elseif kind == "boolean" then
    return tostring(value)
  elseif kind ~= "table" then
    return "null"
  end
  local parts = {}
  if value[1] ~= nil or next(value) == nil then
    for _, each in ipairs(value) do
      parts[#parts + 1] = json(each)
    end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for key, each in pairs(value) do
    parts[#parts + 1] = json(tostring(key)) .. ":" .. json(each)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- Letters, digits and % alone, and a full stop at the end: no writer escapes any of it, and a file
-- that is not whole yet has no end.
local function packed(value)
  local text = json(value):gsub("[^A-Za-z0-9]", function(c)
    return string.format("%%%02X", c:byte())
  end)
  return text .. "."
end

-- Writes { mattecast = "..." } into a file of the folder.
local function write(name, value)
  local path, text = FOLDER .. "/" .. name, packed(value)
  local io = global("io")
  if io and io.open then
    local file, reason = io.open(path, "w")
    need(file, "cannot write " .. tostring(reason))
    local written = file:write('{ mattecast = "' .. text .. '" }\n')
    need(file:close() and written, "cannot write " .. path .. ": is the disk full?")
    return
  end
  need(bmd.writefile, "this edition of Resolve lets no script write files; export the timeline "
    .. "and use `mattecast timeline`")
  local done, result = pcall(bmd.writefile, path, { mattecast = text })
  need(done and result ~= false, "cannot write " .. path)
end

-- The newest answer; nil where there is none.
local function read()
  local done, answer = pcall(dofile, FOLDER .. "/answer.lua")
  if done and type(answer) == "table" then
    return answer
  end
end

-- Starts the program; false where Resolve lets no script do so.
local function start()
  local os = global("os")
  if not (os and os.execute) then
    return false
  end
  os.execute(START)
  return true
end

-- A name for a request that no answer in the folder has.
local function ticket()
  local os, last = global("os") or {}, read() or {}
  local number = tonumber(tostring(last.ticket):match("%d+$")) or 0
  return string.format("%d-%d", os.time and os.time() or 0, number + 1)
end

-- Writes the request and waits until it is answered; progress goes to the console.
local function answered(request)
  need(bmd.wait, "this version of Resolve has no bmd.wait, which this script needs")
  write("request.lua", request)
  local started, waited, beat, silent = start(), 0, nil, 0
  local shown, quiet, told = nil, LINE, false
  while true do
    bmd.wait(POLL)
    local answer = read()
    if answer and answer.ticket == request.ticket then
      if answer.state ~= "working" then
        return answer
      end
      silent = answer.beat == beat and silent + POLL or 0
      beat = answer.beat
      quiet = quiet + POLL
      if answer.message ~= shown and quiet >= LINE then
        shown, quiet = answer.message, 0
        say(shown)
      end
      if silent > SILENCE then
        stop("the program has stopped answering; the timeline is as it was")
      end
    else
      waited = waited + POLL
      if not started and not told and waited >= 2 then
        told = true
        say("waiting for the program: run `mattecast hosts serve resolve` in a terminal, "
          .. "and leave it open")
      elseif waited > (started and PATIENCE / 4 or PATIENCE) then
        stop(started and "the program did not start; run `mattecast hosts install resolve` again"
          or "the program is not running; start `mattecast hosts serve resolve`, then try again")
      end
    end
  end
end

-------------------------------------------------------------------------------- what Resolve knows

local function resolved()
  local app = global("resolve")
  local makers = { global("Resolve"), bmd.scriptapp and function()
    return bmd.scriptapp("Resolve")
  end }
  for _, make in pairs(makers) do
    if not app then
      local done, made = pcall(make)
      app = done and made or nil
    end
  end
  return need(app, "there is no DaVinci Resolve here")
end

-- The file and the clip attributes of an item; an empty table for items without a file.
local function media(item)
  local clip = try(item, "GetMediaPoolItem")
  if not clip then
    return {}
  end
  local function property(name)
    return try(clip, "GetClipProperty", name)
  end
  return {
    path = property("File Path"),
    rate = property("FPS"),
    frames = property("Frames"),
    begins = property("Start TC"),
    kind = property("Type"),
  }
end

-- All that the program must know of an item of the timeline.
local function facts(item, track)
  local speed = try(item, "GetSpeed")
  return {
    name = item:GetName(),
    track = track,
    start = item:GetStart(),
    finish = item:GetEnd(),
    length = item:GetDuration(),
    left = try(item, "GetLeftOffset", true) or try(item, "GetLeftOffset"),
    right = try(item, "GetRightOffset", true) or try(item, "GetRightOffset"),
    source_start = try(item, "GetSourceStartFrame"),
    source_end = try(item, "GetSourceEndFrame"),
    speed = type(speed) == "table" and speed.Percentage or nil,
    kind = try(item, "GetType"),
    media = media(item),
  }
end

local function items_of(timeline, track)
  return timeline:GetItemListInTrack("video", track) or {}
end

-- The video tracks: whether each is locked, and what lies where.
local function tracks(timeline)
  local found = {}
  for track = 1, timeline:GetTrackCount("video") do
    local places = {}
    for _, item in ipairs(items_of(timeline, track)) do
      places[#places + 1] = { item:GetStart(), item:GetEnd(), media(item).path or "" }
    end
    found[track] = { locked = try(timeline, "GetIsTrackLocked", "video", track) or false,
      places = places }
  end
  return found
end

-- An item, and the number of the track that it lies on.
local function at_playhead(timeline)
  local item = need(timeline:GetCurrentVideoItem(), "there is no clip under the playhead")
  for track = 1, timeline:GetTrackCount("video") do
    for _, other in ipairs(items_of(timeline, track)) do
      if other:GetUniqueId() == item:GetUniqueId() then
        return other, track
      end
    end
  end
  stop("the clip under the playhead lies on no video track")
end

local function marks_of(item)
  local marks = {}
  local colour = try(item, "GetClipColor")
  if colour and colour ~= "" then
    marks["clip colour " .. colour] = true
  end
  for _, flag in ipairs(try(item, "GetFlagList") or {}) do
    marks["flag " .. flag] = true
  end
  return marks
end

-- Items of the timeline for which a test holds, with their tracks.
local function where(timeline, test)
  local found = {}
  for track = 1, timeline:GetTrackCount("video") do
    for _, item in ipairs(items_of(timeline, track)) do
      if try(item, "GetMediaPoolItem") and test(item, track) then
        found[#found + 1] = { item = item, track = track }
      end
    end
  end
  return found
end

local choose = {}

-- What is selected, where Resolve tells scripts (21 and later); else the clip under the playhead.
function choose.selected(timeline)
  local wanted, any = {}, false
  for _, item in ipairs(try(timeline, "GetSelectedClips") or {}) do
    wanted[item:GetUniqueId()], any = true, true
  end
  if any then
    local found = where(timeline, function(item)
      return wanted[item:GetUniqueId()]
    end)
    return need(found[1] and found, "none of the selected clips is a video clip with a file")
  end
  local item, track = at_playhead(timeline)
  return { { item = item, track = track } }
end

-- Every clip that has the clip colour, or a flag, of the clip under the playhead.
function choose.colour(timeline)
  local marks = marks_of((at_playhead(timeline)))
  need(next(marks), "the clip under the playhead has neither a clip colour nor a flag")
  return where(timeline, function(item)
    for mark in pairs(marks_of(item)) do
      if marks[mark] then
        return true
      end
    end
  end)
end

-- The clips of the track of the clip under the playhead, between the in and out marks if there are.
function choose.track(timeline)
  local _, wanted = at_playhead(timeline)
  local marks = (try(timeline, "GetMarkInOut") or {}).video or {}
  local first = marks["in"] and timeline:GetStartFrame() + marks["in"]
  local last = marks["out"] and timeline:GetStartFrame() + marks["out"]
  local found = where(timeline, function(item, track)
    return track == wanted and not (first and item:GetEnd() <= first)
      and not (last and item:GetStart() > last)
  end)
  return need(found[1] and found, "there is no clip with a file between in and out")
end

-------------------------------------------------------------------------------------- the timeline

local function same(a, b)
  return a.start == b.start and a.finish == b.finish and a.left == b.left
    and a.media.path == b.media.path
end

local function folder_of(pool, undo)
  local root = pool:GetRootFolder()
  for _, folder in ipairs(root:GetSubFolderList() or {}) do
    if folder:GetName() == BIN then
      return folder
    end
  end
  local made = need(pool:AddSubFolder(root, BIN), "the bin " .. BIN .. " could not be made")
  undo[#undo + 1] = function()
    pool:DeleteFolders({ made })
  end
  return made
end

-- The matte in the media pool: the one of an earlier run, or imported.
local function imported(pool, folder, path, undo)
  for _, clip in ipairs(folder:GetClipList() or {}) do
    if clip:GetClipProperty("File Path") == path then
      return clip
    end
  end
  need(pool:SetCurrentFolder(folder), "the bin " .. BIN .. " could not be opened")
  local clips = try(pool, "ImportMedia", { path })
  if not (clips and clips[1]) then
    clips = try(pool, "ImportMedia", { { FilePath = path } })
  end
  local clip = need(clips and clips[1], path .. " could not be imported")
  undo[#undo + 1] = function()
    pool:DeleteClips({ clip })
  end
  return clip
end

-- Appends one piece and looks where it came to lie; nil where it is not the place asked for.
-- The end belonged to the range up to Resolve 18, and does not since 19.
local function appended(pool, timeline, clip, place)
  local starts = { place.first, math.floor(place.first + 1e-6) }
  local ends = { place.last, math.floor(place.last + 0.5) }
  for try_number = 1, 2 do
    for _, shift in ipairs({ 0, -1, 1 }) do
      local items = pool:AppendToTimeline({
        {
          mediaPoolItem = clip, startFrame = starts[try_number], endFrame = ends[try_number] + shift,
          mediaType = 1, trackIndex = place.track, recordFrame = place.record,
        },
      })
      local item = items and items[1]
      if item and item:GetStart() == place.record and item:GetDuration() == place.length then
        return item, try_number == 2 and starts[1] ~= starts[2]
      end
      if item then
        timeline:DeleteClips({ item }, false)
      end
    end
  end
end

-- Gives a matte the size, the place, the crop, the grade and the attributes of its clip.
local function copy_look(from, to)
  local clip, matte = from:GetMediaPoolItem(), to:GetMediaPoolItem()
  for _, name in ipairs(ATTRIBUTES) do
    local value = try(clip, "GetClipProperty", name)
    if value and value ~= "" and value ~= try(matte, "GetClipProperty", name) then
      try(matte, "SetClipProperty", name, value)
    end
  end
  local look = try(from, "GetProperty") or try(from, "GetProperties") or {}
  for _, key in ipairs(LOOK) do
    if look[key] ~= nil then
      try(to, "SetProperty", key, look[key])
    end
  end
  try(from, "CopyGrades", { to })
end

local function lay(pool, timeline, folder, item, place, undo)
  local clip = imported(pool, folder, place.path, undo)
  if clip:GetClipProperty("Alpha mode") ~= place.alpha then
    if not try(clip, "SetClipProperty", "Alpha mode", place.alpha) then
      say("set Clip Attributes, Alpha Mode of " .. clip:GetName() .. " to " .. place.alpha)
    end
  end
  while timeline:GetTrackCount("video") < place.track do
    need(timeline:AddTrack("video"), "a video track could not be added")
    local added = timeline:GetTrackCount("video")
    undo[#undo + 1] = function()
      timeline:DeleteTrack("video", added)
    end
  end
  local matte, off = appended(pool, timeline, clip, place)
  need(matte, "Resolve did not take " .. place.path .. " on track " .. place.track)
  undo[#undo + 1] = function()
    timeline:DeleteClips({ matte }, false)
  end
  if off then
    say(item:GetName() .. ": the matte may be off by less than a frame of the clip")
  end
  copy_look(item, matte)
  if place.colour ~= "" then
    try(matte, "SetClipColor", place.colour)
  end
end

-- Lays all mattes, or none.
local function lay_all(project, timeline, chosen, before, places)
  for _, place in ipairs(places) do
    local one = chosen[place.clip]
    local there, now = pcall(facts, one.item, one.track)
    if not (there and same(now, before[place.clip])) then
      stop(before[place.clip].name .. " was changed meanwhile; run this again: the mattes are kept")
    end
  end
  local pool, shown = project:GetMediaPool(), project:GetCurrentTimeline()
  local current, undo = pool:GetCurrentFolder(), {}
  local done, problem = pcall(function()
    need(project:SetCurrentTimeline(timeline), "the timeline cannot be opened again")
    local folder = folder_of(pool, undo)
    for _, place in ipairs(places) do
      lay(pool, timeline, folder, chosen[place.clip].item, place, undo)
    end
  end)
  if not done then
    for index = #undo, 1, -1 do
      pcall(undo[index])
    end
  end
  pool:SetCurrentFolder(current)
  if shown and shown:GetUniqueId() ~= timeline:GetUniqueId() then
    project:SetCurrentTimeline(shown)
  end
  if not done then
    error(problem, 0)
  end
end

local function cancel()
  local answer = read()
  if not (answer and answer.state == "working") then
    stop("nothing is being matted")
  end
  write("cancel.lua", { ticket = answer.ticket })
  say("cancelling")
end

local function main()
  if WHAT == "cancel" then
    return cancel()
  end
  local app = resolved()
  local project = need(app:GetProjectManager():GetCurrentProject(), "no project is open")
  local timeline = need(project:GetCurrentTimeline(), "no timeline is open")
  local chosen, before = choose[WHAT](timeline), {}
  for index, one in ipairs(chosen) do
    before[index] = facts(one.item, one.track)
  end
  local answer = answered({
    form = 1,
    ticket = ticket(),
    clips = before,
    tracks = tracks(timeline),
    rate = timeline:GetSetting("timelineFrameRate"),
  })
  for _, line in ipairs(answer.lines) do
    say(line)
  end
  if answer.state == "failed" or answer.state == "cancelled" then
    stop(answer.message)
  end
  if #answer.places > 0 then
    lay_all(project, timeline, chosen, before, answer.places)
  end
  say(answer.message)
end

local done, problem = pcall(main)
if not done then
  say(type(problem) == "table" and problem.line
    or "this should not happen: " .. tostring(problem) .. "; please report it")
end
